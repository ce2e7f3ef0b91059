/**
 * @file Shows how a query was understood: its terms and examples, each of which can be taken away, and a note where the
 * model does not know the visitor's language.
 */

/** @import { Manifest } from '../../shared/protocol.js' */
/** @import { Searching } from './searching.js' */

import { t } from '../../shared/language.js';
import { byRole } from '../../shared/state.js';
import { isCompound } from './terms.js';

/** Writing that an English text tower has never seen. */
const NOT_LATIN = /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|\p{Script=Cyrillic}|\p{Script=Arabic}|\p{Script=Devanagari}/u;

export class Parts {
  /** @type {Manifest | null} */
  models = null;
  #list = byRole('parts', HTMLElement);
  #note = byRole('language-note', HTMLElement);
  #searching;
  #onChange;

  /** @param {Searching} searching @param {() => void} onChange */
  constructor(searching, onChange) {
    this.#searching = searching;
    this.#onChange = onChange;
    byRole('query', HTMLInputElement).addEventListener('input', () => this.show());
  }

  show() {
    const { terms, examples, text } = this.#searching;
    const items = examples.map((example) => this.#example(example));
    if (isCompound(terms)) {
      for (const { text: words, weight } of terms) {
        const mark = weight < 0 ? '−' : '+';
        const amount = Math.abs(weight) === 1 ? '' : ` × ${Math.abs(weight)}`;
        const item = document.createElement('li');
        item.className = weight < 0 ? 'part without' : 'part';
        item.textContent = `${mark} ${words}${amount}`;
        items.push(item);
      }
    }
    this.#list.replaceChildren(...items);
    this.#list.hidden = !items.length;
    this.#showNote(text);
  }

  /** @param {import('./searching.js').Example} example */
  #example(example) {
    const item = document.createElement('li');
    item.className = 'part example';
    const image = Object.assign(document.createElement('img'), { alt: '' });
    if (example.url) image.src = example.url;
    const name = Object.assign(document.createElement('span'), { textContent: t('like {name}', { name: example.name }) });
    const remove = Object.assign(document.createElement('button'), { type: 'button', textContent: '×' });
    remove.setAttribute('aria-label', t('Search without {name}', { name: example.name }));
    remove.onclick = () => {
      this.#searching.dropExample(example.id);
      this.show();
      byRole('query', HTMLInputElement).focus();
      this.#onChange();
    };
    item.append(image, name, remove);
    return item;
  }

  /** @param {string} text */
  #showNote(text) {
    const languages = this.models?.languages ?? ['en'];
    const english = languages.length === 1 && languages[0] === 'en';
    const shown = english && NOT_LATIN.test(text);
    this.#note.hidden = !shown;
    this.#note.textContent = shown ? t('This model has learnt English only: describe the photo in English.') : '';
  }
}

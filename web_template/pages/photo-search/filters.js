/**
 * @file Date, folder, tag: what the photos are narrowed to, and the fields for it.
 */

/** @import { AlbumFacts, PhotoCalls, PhotoFilter } from '../../shared/protocol.js' */
/** @import { Session } from '../../shared/session.js' */

import { isAbort } from '../../shared/bridge.js';
import { later, t } from '../../shared/language.js';
import { byRole, part, say } from '../../shared/state.js';
import { numberWords } from './wording.js';

const DAY_MS = 86_400_000;

export class Filters {
  #from = byRole('from', HTMLInputElement);
  #to = byRole('to', HTMLInputElement);
  #folder = byRole('folder', HTMLSelectElement);
  #fold = byRole('fold', HTMLInputElement);
  #tagButton = byRole('tag', HTMLButtonElement);
  #tagList = byRole('tags', HTMLElement);
  #labels = byRole('labels', HTMLInputElement);
  #bar = byRole('tag-progress', HTMLProgressElement);
  #box = byRole('filters', HTMLDetailsElement);
  #tag = '';
  /** A folder of the address that the album does not have yet. */
  #wantedFolder = '';
  /** @type {{ label: string, photos: number }[]} */
  #tags = [];
  #onChange;
  /** @type {() => Session<PhotoCalls> | null} */
  #session;

  /** @param {() => Session<PhotoCalls> | null} session @param {() => void} onChange */
  constructor(session, onChange) {
    this.#session = session;
    this.#onChange = onChange;
    for (const field of [this.#from, this.#to, this.#folder, this.#fold]) {
      field.onchange = () => {
        this.#wantedFolder = '';
        this.#changed();
      };
    }
    byRole('clear-filters', HTMLButtonElement).onclick = () => this.clear();
    this.#tagButton.onclick = () => void this.findTags();
  }

  /** Take the filters of the page's address over. */
  readAddress() {
    const params = new URLSearchParams(location.search);
    for (const [field, name] of /** @type {const} */ ([[this.#from, 'from'], [this.#to, 'to']])) {
      const day = params.get(name) ?? '';
      if (/^\d{4}-\d\d-\d\d$/.test(day)) field.value = day;
    }
    this.#wantedFolder = params.get('folder') ?? '';
    this.#tag = params.get('tag') ?? '';
    this.#box.open = this.isActive;
    this.#showActive();
  }

  /** @returns {PhotoFilter} */
  get value() {
    const day = (/** @type {HTMLInputElement} */ field) => (Number.isNaN(field.valueAsNumber) ? null : field.valueAsNumber);
    const to = day(this.#to);
    return {
      from: day(this.#from),
      to: to === null ? null : to + DAY_MS - 1,
      folder: this.#folder.value || this.#wantedFolder,
      tag: this.#tag,
      fold: this.#fold.checked,
    };
  }

  get isActive() {
    const { from, to, folder, tag } = this.value;
    return from !== null || to !== null || folder !== '' || tag !== '';
  }

  clear() {
    this.#from.value = this.#to.value = this.#folder.value = this.#wantedFolder = this.#tag = '';
    this.#changed();
  }

  #changed() {
    this.#showActive();
    this.#showTags();
    this.#onChange();
  }

  #showActive() {
    const { from, to, folder, tag } = this.value;
    const words = [
      from !== null && t('from {date}', { date: this.#from.value }),
      to !== null && t('to {date}', { date: this.#to.value }),
      folder,
      tag && t(tag),
    ];
    part(this.#box, 'active').textContent = words.filter(Boolean).join(' · ');
  }

  /** Offer the folders and the days of the album. @param {AlbumFacts} facts */
  show({ folders, first, last }) {
    const chosen = this.#folder.value || this.#wantedFolder;
    const option = (/** @type {string} */ path, /** @type {string} */ label) => Object.assign(document.createElement('option'), { value: path, textContent: label });
    this.#folder.replaceChildren(
      option('', t('All folders')),
      ...folders.map(({ path, photos }) => option(path, `${path} (${numberWords(photos)})`)),
    );
    this.#folder.value = chosen;
    if (this.#folder.value === chosen) this.#wantedFolder = '';
    else this.#folder.value = '';
    const day = (/** @type {number | null} */ ms) => (ms === null ? '' : new Date(ms).toISOString().slice(0, 10));
    for (const field of [this.#from, this.#to]) Object.assign(field, { min: day(first), max: day(last) });
    this.#showActive();
  }

  /** Label the whole album, and offer the labels that some photo has. */
  async findTags() {
    const session = this.#session();
    if (!session) return;
    this.#tagButton.disabled = true;
    this.#bar.hidden = false;
    try {
      const own = this.#labels.value.split(/[,，;；]/).map((label) => label.trim()).filter(Boolean);
      const { tags } = await session.request('tag', { labels: own.length ? own : null }, {
        onEvent: (event) => event.kind === 'labels' && Object.assign(this.#bar, { max: event.all, value: event.done }),
      });
      this.#tags = tags;
      this.#showTags();
      say(tags.length ? later('{count} tags found.', { count: tags.length }) : later('No tag suits this album.'));
      if (this.#tag) this.#onChange();
    } catch (error) {
      if (!isAbort(error)) session.fail(error);
    } finally {
      this.#tagButton.disabled = false;
      this.#bar.hidden = true;
    }
  }

  /** The tag that the address asks for needs the labels first. */
  get wantsTags() {
    return this.#tag !== '' && !this.#tags.length;
  }

  /** All is gone with the album. */
  reset() {
    this.#tags = [];
    this.#from.value = this.#to.value = this.#folder.value = this.#wantedFolder = this.#tag = '';
    this.#showActive();
    this.#showTags();
  }

  #showTags() {
    this.#tagList.replaceChildren(
      ...this.#tags.map(({ label, photos }) => {
        const item = document.createElement('li');
        const button = document.createElement('button');
        button.type = 'button';
        button.className = 'tag';
        button.textContent = `${t(label)} ${numberWords(photos)}`;
        button.dataset.tag = label;
        button.setAttribute('aria-pressed', String(label === this.#tag));
        button.onclick = () => {
          this.#tag = label === this.#tag ? '' : label;
          this.#changed();
          /** @type {HTMLElement | null} */ (this.#tagList.querySelector(`[data-tag="${CSS.escape(label)}"]`))?.focus();
        };
        item.append(button);
        return item;
      }),
    );
  }

  redraw() {
    this.#showActive();
    this.#showTags();
  }
}

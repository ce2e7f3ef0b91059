/**
 * @file The sentence on the screen that grows with the model's words. Hidden from assistive technology: the announcer
 * speaks to that.
 */

import { languageOf } from '../../shared/sentences.js';
import { byRole } from '../../shared/state.js';

export class CaptionView {
  #caption = byRole('caption', HTMLElement);
  #text = '';
  #before = '';
  #drawing = 0;

  /** A new frame is on its way; the old sentence stays until the first word that differs. @param {string} [before] words that stand before what comes */
  begin(before = '') {
    this.#text = '';
    this.#before = before;
    this.#caption.dataset.done = 'false';
  }

  /** @param {string} piece */
  append(piece) {
    this.#text += piece;
    // At most once per painted frame: drawing every token costs tokens.
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      if (this.#caption.dataset.done === 'true') return;
      // A scene that stays the same begins with the words that are there: they stand still.
      const shown = this.#caption.dataset.caption ?? '';
      const growing = this.#before + this.#text.trim();
      if (!shown.startsWith(growing)) this.#caption.textContent = growing;
    });
  }

  /** @param {string} text all of it */
  finish(text) {
    if (this.#caption.textContent !== text) this.#caption.textContent = text;
    this.#caption.lang = languageOf(text);
    this.#caption.dataset.caption = text;
    this.#caption.dataset.done = 'true';
  }

  /** What comes is of another picture. */
  clear() {
    this.#text = this.#before = '';
    this.finish('');
  }

  /** The caption was stopped half-way: show the last finished one again. */
  abandon() {
    if (this.#caption.dataset.done === 'true') return;
    this.#caption.textContent = this.#caption.dataset.caption ?? '';
    this.#caption.dataset.done = 'true';
  }

  /** What is shown as finished. */
  get text() {
    return this.#caption.dataset.caption ?? '';
  }
}

/**
 * @file The view of the captions: the sentence that grows, the log of those that are finished, the numbers.
 */

/** @import { CaptionResult } from '../../shared/protocol.js' */

import { byRole, part } from '../../shared/state.js';

const LOG_LENGTH = 50;
/** Span over which frames per minute are counted. */
const RATE_WINDOW_MS = 30_000;

export class CaptionView {
  #caption = byRole('caption', HTMLElement);
  #log = byRole('log', HTMLElement);
  #metrics = byRole('metrics', HTMLElement);
  #text = '';
  #drawing = 0;
  /** @type {number[]} times of finished captions, oldest first */
  #finished_ms = [];
  #lastLogged = '';

  /** A new frame is on its way; the old sentence stays until the first word that differs. */
  begin() {
    this.#text = '';
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
      if (!shown.startsWith(this.#text.trim())) this.#caption.textContent = this.#text;
    });
  }

  /** @param {CaptionResult} result @param {string} question shown in the log where it was not a preset */
  finish({ text, tokens, first_token_ms, total_ms }, question) {
    this.#caption.textContent = text;
    this.#caption.dataset.caption = text;
    this.#caption.dataset.done = 'true';
    this.#record(text, question);
    const now = performance.now();
    this.#finished_ms.push(now);
    while (now - /** @type {number} */ (this.#finished_ms[0]) > RATE_WINDOW_MS) this.#finished_ms.shift();
    const decode_ms = total_ms - first_token_ms;
    this.#show('first-token', `${Math.round(first_token_ms)} ms`);
    this.#show('token-rate', tokens > 1 && decode_ms > 0 ? ((tokens - 1) / (decode_ms / 1000)).toFixed(1) : '–');
    const span_ms = now - /** @type {number} */ (this.#finished_ms[0]);
    this.#show('frame-rate', span_ms > 0 ? String(Math.round(((this.#finished_ms.length - 1) / span_ms) * 60_000)) : '–');
  }

  /** The caption was stopped half-way: show the last finished one again. */
  abandon() {
    this.#caption.textContent = this.#caption.dataset.caption ?? '';
    this.#caption.dataset.done = 'true';
  }

  /** Start counting anew, after a pause. */
  resetRate() {
    this.#finished_ms = [];
  }

  /** @param {string} label device and dtype */
  showDevice(label) {
    this.#show('runs-on', label);
  }

  /** @param {string} name @param {string} value */
  #show(name, value) {
    part(this.#metrics, name).textContent = value;
  }

  /** @param {string} text @param {string} question */
  #record(text, question) {
    const key = `${question}\n${text}`;
    if (key === this.#lastLogged) return; // an unchanged scene is one line
    this.#lastLogged = key;
    const entry = document.createElement('li');
    const time = document.createElement('time');
    const now = new Date();
    time.dateTime = now.toISOString();
    time.textContent = now.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
    const sentence = document.createElement('p');
    if (question) {
      const asked = document.createElement('span');
      asked.className = 'asked';
      asked.textContent = `${question} `;
      sentence.append(asked);
    }
    sentence.append(text);
    entry.append(time, sentence);
    this.#log.prepend(entry);
    while (this.#log.children.length > LOG_LENGTH) this.#log.lastElementChild?.remove();
  }
}

/**
 * @file The captions of this visit with their times: as a list on the page, and as files to take home (log-files.js).
 */

import { languageOf } from '../../shared/sentences.js';
import { byRole } from '../../shared/state.js';

/** The page shows the newest of them, files hold all up to this many. */
const SHOWN = 50;
const KEPT = 5000;

/**
 * One caption. `question` is empty where it answers a preset. Times are milliseconds since 1970, by a clock that nobody sets.
 *
 * @typedef {{ at_ms: number, text: string, question: string }} Entry
 */

export class CaptionLog {
  #list = byRole('log', HTMLElement);
  /** @type {Entry[]} oldest first */
  #entries = [];
  #last = '';

  get length() {
    return this.#entries.length;
  }

  /** Take down a caption; an unchanged scene is one line. @param {string} text @param {string} question */
  add(text, question) {
    const key = `${question}\n${text}`;
    if (key === this.#last) return;
    this.#last = key;
    const entry = { at_ms: performance.timeOrigin + performance.now(), text, question };
    this.#entries.push(entry);
    if (this.#entries.length > KEPT) this.#entries.shift();
    this.#list.prepend(listItem(entry));
    while (this.#list.children.length > SHOWN) this.#list.lastElementChild?.remove();
  }

  /** Hand a file with all captions to the visitor. @param {'txt' | 'vtt' | 'json'} kind */
  async download(kind) {
    const { exportLog } = await import('./log-files.js');
    const { text, type } = exportLog(this.#entries, kind);
    const href = URL.createObjectURL(new Blob([text], { type }));
    Object.assign(document.createElement('a'), { href, download: `captions.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10_000);
  }
}

/** @param {Entry} entry */
function listItem({ at_ms, text, question }) {
  const item = document.createElement('li');
  const time = document.createElement('time');
  const at = new Date(at_ms);
  time.dateTime = at.toISOString();
  time.textContent = clock(at);
  const sentence = document.createElement('p');
  if (question) {
    const asked = document.createElement('span');
    asked.className = 'asked';
    asked.textContent = `${question} `;
    sentence.append(asked);
  }
  const said = document.createElement('span');
  said.lang = languageOf(text);
  said.textContent = text;
  sentence.append(said);
  item.append(time, sentence);
  return item;
}

/** Time of the day, as the visitor's country writes it. @param {Date} at */
export const clock = (at) => at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });

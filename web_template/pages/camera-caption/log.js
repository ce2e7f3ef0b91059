/**
 * @file The captions of this visit with their times: as a list on the page, and as text, WebVTT and JSON to take home.
 */

import { byRole } from '../../shared/state.js';

/** The page shows the newest of them, files hold all up to this many. */
const SHOWN = 50;
const KEPT = 5000;
/** How long the last caption of a WebVTT file stays. */
const LAST_MS = 4000;

/**
 * One caption. `question` is empty where it answers a preset. Times are milliseconds since 1970.
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
    const entry = { at_ms: Date.now(), text, question };
    this.#entries.push(entry);
    if (this.#entries.length > KEPT) this.#entries.shift();
    this.#list.prepend(listItem(entry));
    while (this.#list.children.length > SHOWN) this.#list.lastElementChild?.remove();
  }

  /** Hand a file with all captions to the visitor. @param {'txt' | 'vtt' | 'json'} kind */
  download(kind) {
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
  said.lang = 'en';
  said.textContent = text;
  sentence.append(said);
  item.append(time, sentence);
  return item;
}

/** Time of the day, as the visitor's country writes it. @param {Date} at */
export const clock = (at) => at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/**
 * Write captions as a file. WebVTT counts from the first caption, and each stays until the next.
 *
 * @param {readonly Entry[]} entries oldest first
 * @param {'txt' | 'vtt' | 'json'} kind
 */
export function exportLog(entries, kind) {
  if (kind === 'json') {
    const captions = entries.map(({ at_ms, text, question }) => ({
      time: new Date(at_ms).toISOString(),
      text,
      ...(question ? { question } : {}),
    }));
    return { type: 'application/json', text: `${JSON.stringify({ captions }, null, 1)}\n` };
  }
  if (kind === 'txt') {
    const lines = entries.map(({ at_ms, text, question }) => `${new Date(at_ms).toISOString()}  ${question ? `${question} ` : ''}${text}\n`);
    return { type: 'text/plain', text: lines.join('') };
  }
  const start_ms = entries[0]?.at_ms ?? 0;
  const cues = entries.map(({ at_ms, text }, i) => {
    const until_ms = Math.max(entries[i + 1]?.at_ms ?? at_ms + LAST_MS, at_ms + 1);
    return `\n${cueTime(at_ms - start_ms)} --> ${cueTime(until_ms - start_ms)}\n${cueText(text)}\n`;
  });
  return { type: 'text/vtt', text: `WEBVTT\n${cues.join('')}` };
}

/** 3,661,005 ms → 01:01:01.005. @param {number} time_ms */
function cueTime(time_ms) {
  const two = (/** @type {number} */ value) => String(Math.floor(value)).padStart(2, '0');
  const seconds = time_ms / 1000;
  return `${two(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}.${String(Math.floor(time_ms % 1000)).padStart(3, '0')}`;
}

/** A cue ends at an empty line, and `<`, `&` and `-->` mean something in it. @param {string} text */
const cueText = (text) => text.replace(/\s*\n\s*/g, ' ').replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

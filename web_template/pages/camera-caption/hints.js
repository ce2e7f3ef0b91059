/**
 * @file Says what is wrong with the picture before the model is asked about it: on the picture, and once to the announcer.
 */

/** @import { Look } from '../../shared/protocol.js' */
/** @typedef {Look['fault']} Fault */

import { onLanguage, t } from '../../shared/language.js';
import { byRole } from '../../shared/state.js';

/** A fault that comes and goes within this time is the camera adapting. */
const SETTLED_MS = 500;
/** The same fault is not announced again for so long. */
const AGAIN_MS = 20_000;

/** @type {Record<Exclude<Fault, ''>, string>} */
const WORDS = {
  covered: 'Nothing can be seen: the camera seems to be covered.',
  dark: 'It is too dark to see much. Turn on a light.',
  blurred: 'The picture is blurred. Hold the camera still, move back a little, or wipe the lens.',
};

export class Hints {
  #place = byRole('hint', HTMLElement);
  #announce;
  /** @type {Fault} */
  #seen = '';
  #since_ms = 0;
  /** @type {Fault} */
  #shown = '';
  /** @type {Map<Fault, number>} */
  #announced_ms = new Map();

  /** @param {(sentence: string) => void} announce */
  constructor(announce) {
    this.#announce = announce;
    onLanguage(() => this.#write());
  }

  /** @param {Fault} fault of the newest picture */
  note(fault) {
    const now = performance.now();
    if (fault !== this.#seen) this.#since_ms = now;
    this.#seen = fault;
    if (fault === this.#shown || now - this.#since_ms < SETTLED_MS) return;
    this.#shown = fault;
    this.#write();
    if (!fault || now - (this.#announced_ms.get(fault) ?? -Infinity) < AGAIN_MS) return;
    this.#announced_ms.set(fault, now);
    this.#announce(t(WORDS[fault]));
  }

  /** Nothing is looked at any more. */
  clear() {
    this.#seen = this.#shown = '';
    this.#write();
  }

  #write() {
    this.#place.hidden = this.#shown === '';
    this.#place.textContent = this.#shown && t(WORDS[this.#shown]);
  }
}

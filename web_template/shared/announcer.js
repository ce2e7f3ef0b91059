/**
 * @file Speaks whole captions to a screen reader, seldom enough to be listened to.
 *
 * The caption on screen grows token by token and is hidden from assistive technology: a live region bound to it would
 * be read again with every token. This region gets finished sentences only, at most one in `interval_ms`, never the
 * same one twice in a row and never the same scene twice; what came in between is dropped for the newest. What the
 * visitor has asked for (`answer`) does not wait, even when it is what was said last.
 */

import { wholeSentence } from './sentences.js';

/**
 * What may be announced. `scene` names what was seen: of one scene only the first sentence is said. `lang` is the
 * language of the words where it is not the page's.
 *
 * @typedef {{ scene?: string, lang?: string }} About
 * @typedef {{ text: string, lang: string }} Sentence
 */

/** How long the region stays empty before words that stood there already: shorter, and screen readers see no change. */
const BLANK_MS = 120;

export class Announcer {
  #region;
  #interval_ms;
  #now;
  #spoken = '';
  #scene = '';
  #spoken_ms = -Infinity;
  /** @type {(Sentence & { scene: string }) | null} */
  #waiting = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #blank;

  /**
   * @param {HTMLElement} region an element with aria-live="polite" that is in the page from the start
   * @param {{ interval_ms?: number, now?: () => number }} [options] `now` is there for tests
   */
  constructor(region, { interval_ms = 4000, now = () => performance.now() } = {}) {
    this.#region = region;
    this.#interval_ms = interval_ms;
    this.#now = now;
    /**
     * Where sentences go instead of the region (speech), or `null` for the region. Never both: who hears a screen
     * reader must not hear a second voice at the same time.
     *
     * @type {((sentence: Sentence, asked: boolean) => void) | null}
     */
    this.sink = null;
  }

  /** The least time between two announcements. @param {number} interval_ms */
  set interval_ms(interval_ms) {
    this.#interval_ms = interval_ms;
  }

  /** What was announced last; empty before the first. */
  get spoken() {
    return this.#spoken;
  }

  /**
   * Announce this sentence, now or when the interval is over, unless a newer one comes first.
   *
   * @param {string} text @param {About} [about]
   */
  announce(text, { scene = '', lang = '' } = {}) {
    const sentence = wholeSentence(text);
    const known = sentence === this.#spoken || (scene !== '' && scene === this.#scene);
    this.#waiting = known || !sentence ? null : { text: sentence, scene, lang };
    if (!this.#waiting || this.#timer !== undefined) return;
    const wait_ms = this.#spoken_ms + this.#interval_ms - this.#now();
    if (wait_ms <= 0) this.#speakWaiting();
    else this.#timer = setTimeout(() => this.#speakWaiting(), wait_ms);
  }

  /** Say at once what the visitor has asked to hear, once more if need be. @param {string} text @param {About} [about] */
  answer(text, { scene = '', lang = '' } = {}) {
    this.silence();
    const sentence = wholeSentence(text);
    if (sentence) this.#speak({ text: sentence, scene, lang }, true);
  }

  /** Drop what waits: nothing is announced after a pause. */
  silence() {
    clearTimeout(this.#timer);
    clearTimeout(this.#blank);
    this.#timer = undefined;
    this.#waiting = null;
  }

  #speakWaiting() {
    this.#timer = undefined;
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting) this.#speak(waiting, false);
  }

  /** @param {Sentence & { scene: string }} sentence @param {boolean} asked */
  #speak({ text, scene, lang }, asked) {
    this.#spoken = text;
    if (scene) this.#scene = scene; // a sentence between two captions does not make the scene another
    this.#spoken_ms = this.#now();
    if (this.sink) {
      this.sink({ text, lang }, asked);
      return;
    }
    const region = this.#region;
    const write = () => {
      if (lang) region.lang = lang;
      else region.removeAttribute('lang');
      region.textContent = text;
    };
    if (region.textContent !== text) {
      write();
    } else {
      region.textContent = '';
      this.#blank = setTimeout(write, BLANK_MS);
    }
  }
}

/**
 * @file Speaks whole captions to a screen reader, seldom enough to be listened to.
 *
 * The caption on screen grows token by token and is hidden from assistive technology: a live region bound to it would
 * be read again with every token. This region gets finished sentences only, at most one in `interval_ms`, never the
 * same one twice in a row; what came in between is dropped for the newest. It does not speak aloud by itself.
 */

export class Announcer {
  #region;
  #interval_ms;
  #now;
  #spoken = '';
  #spoken_ms = -Infinity;
  #waiting = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLElement} region an element with aria-live="polite" that is in the page from the start
   * @param {{ interval_ms?: number, now?: () => number }} [options] `now` is there for tests
   */
  constructor(region, { interval_ms = 4000, now = () => performance.now() } = {}) {
    this.#region = region;
    this.#interval_ms = interval_ms;
    this.#now = now;
  }

  /** Announce this sentence, now or when the interval is over, unless a newer one comes first. @param {string} text */
  announce(text) {
    this.#waiting = text === this.#spoken ? '' : text;
    if (!this.#waiting || this.#timer !== undefined) return;
    const wait_ms = this.#spoken_ms + this.#interval_ms - this.#now();
    if (wait_ms <= 0) this.#speak();
    else this.#timer = setTimeout(() => this.#speak(), wait_ms);
  }

  /** Drop what waits: nothing is announced after a pause. */
  silence() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = '';
  }

  #speak() {
    this.#timer = undefined;
    if (!this.#waiting) return;
    this.#spoken = this.#region.textContent = this.#waiting;
    this.#spoken_ms = this.#now();
    this.#waiting = '';
  }
}

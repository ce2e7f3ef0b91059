/**
 * @file How fast it runs and on what, measured on this visit; also as text to paste somewhere.
 */

/** @import { CaptionResult, Later } from '../../shared/protocol.js' */

import { later, t } from '../../shared/language.js';
import { byRole, part } from '../../shared/state.js';

/** Span over which captions per minute are counted. */
const RATE_WINDOW_MS = 30_000;
/** Memory is looked up at most this often: the exact answer costs the browser a garbage collection. */
const MEMORY_EVERY_MS = 20_000;

/** @typedef {'first-token' | 'token-rate' | 'frame-rate' | 'memory' | 'runs-on' | 'model'} Figure */

export class Metrics {
  #card = byRole('metrics', HTMLElement);
  /** @type {number[]} times of finished captions, oldest first */
  #finished_ms = [];
  #memory_ms = -Infinity;

  /** @param {CaptionResult} result */
  finished({ tokens, first_token_ms, total_ms }) {
    const now = performance.now();
    this.#finished_ms.push(now);
    while (now - /** @type {number} */ (this.#finished_ms[0]) > RATE_WINDOW_MS) this.#finished_ms.shift();
    const decode_ms = total_ms - first_token_ms;
    this.show('first-token', `${Math.round(first_token_ms)} ms`);
    if (tokens > 1 && decode_ms > 0) this.show('token-rate', ((tokens - 1) / (decode_ms / 1000)).toFixed(1));
    const span_ms = now - /** @type {number} */ (this.#finished_ms[0]);
    if (span_ms > 0) this.show('frame-rate', String(Math.round(((this.#finished_ms.length - 1) / span_ms) * 60_000)));
    if (now - this.#memory_ms > MEMORY_EVERY_MS) {
      this.#memory_ms = now;
      void lookUpMemory((used) => this.show('memory', t(used)));
    }
  }

  /** Start counting anew, after a pause. */
  resetRate() {
    this.#finished_ms = [];
  }

  /** @param {Figure} name @param {string} value */
  show(name, value) {
    const place = part(this.#card, name);
    if (place.textContent !== value) place.textContent = value;
  }

  /** The card as text, a line for each figure, with the browser it was measured in. */
  asText() {
    const lines = [...this.#card.querySelectorAll('dt')].map((name) => `${name.textContent}: ${name.nextElementSibling?.textContent}`);
    return [document.title, ...lines, navigator.userAgent].join('\n');
  }
}

/**
 * Look up the memory in use, where the browser tells: of this thread at once, and where the page is cross-origin
 * isolated of its worker, too, as soon as the browser has counted.
 *
 * @param {(used: Later) => void} show called up to twice
 */
async function lookUpMemory(show) {
  const told = /** @type {any} */ (performance);
  const count = (/** @type {number} */ bytes) => ({ count: Math.round(bytes / 1e6) });
  const exact = crossOriginIsolated && told.measureUserAgentSpecificMemory;
  if (!counted && told.memory) show(later('{count} MB without the model', count(told.memory.usedJSHeapSize)));
  if (!exact) return;
  try {
    show(later('{count} MB', count((await told.measureUserAgentSpecificMemory()).bytes)));
    counted = true;
  } catch {
    // a SecurityError where the browser shares the process with another page; the first figure stands
  }
}

/** The exact figure has come once: the other is no longer shown. */
let counted = false;

/**
 * @file Decides from small grey copies of the picture whether there is anything new to say. While the picture stays the
 * same the model rests; while it moves captions are short; when it has come to rest they may be long.
 */

import { changedShare } from '../../shared/luma.js';

/** Below this share of changed cells it is the same picture. A thing a tenth as wide as the picture makes 1 %. */
const SAME_SHARE = 0.008;
/** From one look to the next, a fifth of a second later, this much changes when the camera pans or a scene cuts. */
const MOVING_SHARE = 0.15;
/** How long the picture must be calm to have come to rest. */
const REST_MS = 600;
/** Two looks further apart than this say nothing about movement. */
const PAIR_MS = 700;

/** @typedef {'same' | 'moving' | 'resting' | 'unclear'} Verdict `unclear`: look once more, a fifth of a second later */

export class SceneGate {
  /** What the last caption was made of. @type {{ coarse: Uint8Array, brief: boolean } | null} */
  #captioned = null;
  /** @type {{ coarse: Uint8Array, at_ms: number } | null} */
  #before = null;
  #moved_ms = -Infinity;
  #scene = 0;

  /**
   * Look at the picture as it is now.
   *
   * @param {Uint8Array} coarse
   * @param {number} now_ms
   * @returns {Verdict}
   */
  look(coarse, now_ms) {
    const before = this.#before;
    this.#before = { coarse, at_ms: now_ms };
    const captioned = this.#captioned;
    if (!captioned) return 'resting'; // the first caption shall not wait
    const unchanged = changedShare(coarse, captioned.coarse) < SAME_SHARE;
    if (unchanged && !captioned.brief) return 'same';
    if (!before || now_ms - before.at_ms > PAIR_MS) return 'unclear';
    if (changedShare(coarse, before.coarse) > MOVING_SHARE) this.#moved_ms = now_ms;
    const moving = now_ms - this.#moved_ms < REST_MS;
    if (unchanged) return moving ? 'same' : 'resting';
    return moving ? 'moving' : 'resting';
  }

  /** A caption of this picture is being made. @param {Uint8Array} coarse @param {boolean} brief */
  taken(coarse, brief) {
    if (!this.#captioned || changedShare(coarse, this.#captioned.coarse) >= SAME_SHARE) this.#scene += 1;
    this.#captioned = { coarse, brief };
  }

  /** Name of the scene that was captioned last: another one when the picture has changed. */
  get scene() {
    return String(this.#scene);
  }

  /** Something else is wanted of the same picture: it is new again. */
  forget() {
    this.#captioned = null;
  }
}

/**
 * @file A small copy of a picture: enough to tell whether it has changed, is dark, or is blurred.
 *
 * It is read several times a second, and so has 128 × 128 pixels and no more.
 */

/** @import { ImageFacts } from './protocol.js' */

export const FINE = 128;
export const COARSE = 32;
const CELL = FINE / COARSE;
const CELLS = COARSE * COARSE;

/**
 * `fine`: grey values, 0 to 255, of FINE × FINE pixels; `coarse`: averages of those for COARSE × COARSE cells, and behind
 * them twice as many of the cells' colours (Cb, then Cr, 128 being none).
 *
 * @typedef {{ fine: Uint8Array, coarse: Uint8Array }} Luma
 */

export class LumaReader {
  #context = new OffscreenCanvas(FINE, FINE).getContext('2d', { willReadFrequently: true, alpha: false });

  /**
   * Read what the model sees of a picture: its middle square, or all of it.
   *
   * @param {ImageBitmap} picture
   * @param {ImageFacts['fit']} fit
   * @returns {Luma}
   */
  read(picture, fit) {
    if (!this.#context) throw new Error('This browser has no 2D canvas.');
    const { width, height } = picture;
    const side = Math.min(width, height);
    const [wide, high] = fit === 'crop' ? [side, side] : [width, height];
    this.#context.drawImage(picture, (width - wide) / 2, (height - high) / 2, wide, high, 0, 0, FINE, FINE);
    return toLuma(this.#context.getImageData(0, 0, FINE, FINE).data);
  }
}

/** @param {Uint8ClampedArray} rgba of FINE × FINE pixels @returns {Luma} */
export function toLuma(rgba) {
  const fine = new Uint8Array(FINE * FINE);
  const sums = new Float64Array(3 * CELLS);
  for (let i = 0, at = 0; i < fine.length; i += 1, at += 4) {
    const red = /** @type {number} */ (rgba[at]);
    const green = /** @type {number} */ (rgba[at + 1]);
    const blue = /** @type {number} */ (rgba[at + 2]);
    const grey = (red * 77 + green * 150 + blue * 29) >> 8;
    fine[i] = grey;
    const cell = Math.floor(i / FINE / CELL) * COARSE + Math.floor((i % FINE) / CELL);
    add(sums, cell, grey);
    add(sums, cell + CELLS, 128 + 0.564 * (blue - grey));
    add(sums, cell + 2 * CELLS, 128 + 0.713 * (red - grey));
  }
  return { fine, coarse: Uint8Array.from(sums, (sum) => sum / (CELL * CELL)) };
}

/** @param {Float64Array} sums @param {number} at @param {number} value */
function add(sums, at, value) {
  sums[at] = /** @type {number} */ (sums[at]) + value;
}

/** Levels of grey or colour by which a cell must differ: above the noise of a camera, below the contrast of things. */
const CELL_DIFFERS = 12;

/**
 * Which share of the cells differs between two pictures, 0 to 1. A change of brightness all over does not count.
 *
 * @param {Uint8Array} a @param {Uint8Array} b both `coarse`
 */
export function changedShare(a, b) {
  const apart = (/** @type {number} */ at) => /** @type {number} */ (a[at]) - /** @type {number} */ (b[at]);
  let sum = 0;
  for (let cell = 0; cell < CELLS; cell += 1) sum += apart(cell);
  const shift = Math.max(-24, Math.min(24, sum / CELLS)); // exposure adapts by little; more is another picture
  let changed = 0;
  for (let cell = 0; cell < CELLS; cell += 1) {
    const most = Math.max(Math.abs(apart(cell) - shift), Math.abs(apart(cell + CELLS)), Math.abs(apart(cell + 2 * CELLS)));
    if (most > CELL_DIFFERS) changed += 1;
  }
  return changed / CELLS;
}

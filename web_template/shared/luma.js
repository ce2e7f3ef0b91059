/**
 * @file A small grey copy of a picture: enough to tell whether it has changed, is dark, or is blurred.
 *
 * Runs on the page's thread, several times a second, and so reads 128 × 128 pixels and no more.
 */

export const FINE = 128;
export const COARSE = 32;
const CELL = FINE / COARSE;

/**
 * Grey values, 0 to 255: `fine` in FINE × FINE pixels, `coarse` in COARSE × COARSE averages of those.
 *
 * @typedef {{ fine: Uint8Array, coarse: Uint8Array }} Luma
 */

export class LumaReader {
  #context;

  constructor() {
    const canvas = Object.assign(document.createElement('canvas'), { width: FINE, height: FINE });
    this.#context = canvas.getContext('2d', { willReadFrequently: true, alpha: false });
  }

  /**
   * Read the middle square of a picture.
   *
   * @param {CanvasImageSource} picture
   * @param {number} width @param {number} height of the picture in its own pixels
   * @returns {Luma | null} null when the browser gives no pixels
   */
  read(picture, width, height) {
    if (!this.#context || !width || !height) return null;
    const side = Math.min(width, height);
    this.#context.drawImage(picture, (width - side) / 2, (height - side) / 2, side, side, 0, 0, FINE, FINE);
    return toLuma(this.#context.getImageData(0, 0, FINE, FINE).data);
  }
}

/** @param {Uint8ClampedArray} rgba of FINE × FINE pixels @returns {Luma} */
export function toLuma(rgba) {
  const fine = new Uint8Array(FINE * FINE);
  const sums = new Uint16Array(COARSE * COARSE);
  for (let i = 0, at = 0; i < fine.length; i += 1, at += 4) {
    const red = /** @type {number} */ (rgba[at]);
    const green = /** @type {number} */ (rgba[at + 1]);
    const blue = /** @type {number} */ (rgba[at + 2]);
    const grey = (red * 77 + green * 150 + blue * 29) >> 8;
    fine[i] = grey;
    const cell = Math.floor(i / FINE / CELL) * COARSE + Math.floor((i % FINE) / CELL);
    sums[cell] = /** @type {number} */ (sums[cell]) + grey;
  }
  return { fine, coarse: Uint8Array.from(sums, (sum) => sum / (CELL * CELL)) };
}

/** Grey levels by which a cell must differ: above the noise of a camera, below the contrast of things. */
const CELL_DIFFERS = 12;

/**
 * Which share of the cells differs between two pictures, 0 to 1. A change of brightness all over does not count.
 *
 * @param {Uint8Array} a @param {Uint8Array} b both `coarse`
 */
export function changedShare(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += /** @type {number} */ (a[i]) - /** @type {number} */ (b[i]);
  const shift = Math.max(-24, Math.min(24, sum / a.length)); // exposure adapts by little; more is another picture
  let changed = 0;
  for (let i = 0; i < a.length; i += 1) {
    if (Math.abs(/** @type {number} */ (a[i]) - /** @type {number} */ (b[i]) - shift) > CELL_DIFFERS) changed += 1;
  }
  return changed / a.length;
}

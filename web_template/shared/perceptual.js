/**
 * @file A perceptual hash: 64 bits that hardly change when a picture is compressed again or made smaller.
 *
 * The picture that the model gets, in grey, is cut into 9 × 8 cells; each bit says whether a cell is darker than its
 * neighbour on the right. All in whole numbers, so that builder/index/pictures.py has the same bits.
 */

const ACROSS = 9;
const DOWN = 8;

/**
 * @param {ArrayLike<number>} rgb 3 bytes for each pixel
 * @param {number} width
 * @param {number} height
 * @returns {[low: number, high: number]} both 0 where no two neighbours differ
 */
export function perceptualHash(rgb, width, height) {
  const sums = new Float64Array(ACROSS * DOWN);
  const pixels = new Float64Array(ACROSS * DOWN);
  for (let y = 0; y < height; y++) {
    const down = Math.floor((y * DOWN) / height);
    for (let x = 0; x < width; x++) {
      const at = 3 * (y * width + x);
      const [red, green, blue] = /** @type {[number, number, number]} */ ([rgb[at], rgb[at + 1], rgb[at + 2]]);
      const cell = down * ACROSS + Math.floor((x * ACROSS) / width);
      sums[cell] = /** @type {number} */ (sums[cell]) + 299 * red + 587 * green + 114 * blue;
      pixels[cell] = /** @type {number} */ (pixels[cell]) + 1;
    }
  }
  /** @type {[number, number]} */
  const hash = [0, 0];
  for (let bit = 0; bit < 64; bit++) {
    const cell = (bit >> 3) * ACROSS + (bit & 7);
    const [left, right] = [/** @type {number} */ (sums[cell]), /** @type {number} */ (sums[cell + 1])];
    const [many, next] = [/** @type {number} */ (pixels[cell]), /** @type {number} */ (pixels[cell + 1])];
    // Means compared without a division.
    if (left * next < right * many) hash[bit >> 5] = /** @type {number} */ (hash[bit >> 5]) | (1 << (bit & 31));
  }
  return [hash[0] >>> 0, hash[1] >>> 0];
}

/** Bits in which two hashes differ, 0 to 64. @param {readonly [number, number]} a @param {readonly [number, number]} b */
export const hammingDistance = (a, b) => bits(a[0] ^ b[0]) + bits(a[1] ^ b[1]);

/** @param {number} value 32 bits */
function bits(value) {
  value -= (value >>> 1) & 0x55555555;
  value = (value & 0x33333333) + ((value >>> 2) & 0x33333333);
  return Math.imul((value + (value >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

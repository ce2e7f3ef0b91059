/**
 * @file Vectors of photos in eight bits, as builder/album/vectors.py makes them, which says why: rotated, then rounded
 * with a scale of their own.
 */

const GREATEST = 127;

/** Size of the blocks that are rotated: the greatest power of two that divides the dimensions. @param {number} dimensions */
export const rotationBlock = (dimensions) => dimensions & -dimensions;

/** @type {Map<number, Float32Array>} */
const signsOf = new Map();

/** Fixed signs: one bit of a hash of the position. @param {number} dimensions */
function signs(dimensions) {
  const known = signsOf.get(dimensions);
  if (known) return known;
  const made = Float32Array.from({ length: dimensions }, (_, at) => {
    let x = Math.imul(at + 1, 0x9e3779b1);
    x = Math.imul(x ^ (x >>> 15), 0x85ebca77);
    return (x ^ (x >>> 13)) & 1 ? -1 : 1;
  });
  signsOf.set(dimensions, made);
  return made;
}

/** @param {Float32Array} vector @param {number} block @returns {Float32Array<ArrayBuffer>} a new one */
export function rotate(vector, block) {
  const sign = signs(vector.length);
  return hadamard(vector.map((value, at) => value * /** @type {number} */ (sign[at])), block);
}

/** Undo `rotate`. @param {Float32Array} vector @param {number} block @returns {Float32Array<ArrayBuffer>} a new one */
export function rotateBack(vector, block) {
  const sign = signs(vector.length);
  return hadamard(Float32Array.from(vector), block).map((value, at) => value * /** @type {number} */ (sign[at]));
}

/** The Walsh-Hadamard transform of each block, in place. @param {Float32Array<ArrayBuffer>} values @param {number} block */
function hadamard(values, block) {
  for (let half = 1; half < block; half *= 2) {
    for (let start = 0; start < values.length; start += 2 * half) {
      for (let at = start; at < start + half; at++) {
        const [a, b] = /** @type {[number, number]} */ ([values[at], values[at + half]]);
        values[at] = a + b;
        values[at + half] = a - b;
      }
    }
  }
  const length = Math.sqrt(block);
  return values.map((value) => value / length);
}

/**
 * Round a vector of any length but 0.
 *
 * @param {Float32Array} vector
 * @returns {{ codes: Int8Array<ArrayBuffer>, scale: number }}
 * @throws {RangeError} when it is no direction
 */
export function encodeVector(vector) {
  const turned = rotate(vector, rotationBlock(vector.length));
  const largest = turned.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (!Number.isFinite(largest) || largest === 0) throw new RangeError('These numbers are no direction.');
  const codes = Int8Array.from(turned, (value) => Math.round((value * GREATEST) / largest));
  return { codes, scale: 1 / Math.sqrt(codes.reduce((sum, code) => sum + code * code, 0)) };
}

/** @param {Int8Array} codes @param {number} scale @param {number} block @returns {Float32Array} of length 1 */
export const decodeVector = (codes, scale, block) => rotateBack(Float32Array.from(codes, (code) => code * scale), block);

/**
 * @file Vectors of photos in memory, and the products of a query with them: 100,000 of 512 numbers in a few
 * milliseconds on one core.
 *
 * Vectors are int8 with a scale, as in rotation.js. A query is rounded to 15 bits and multiplied with all of them by
 * SIMD instructions of WebAssembly, or in plain JavaScript where there are none. Of 512 numbers that is off by some
 * 0.000001, a hundredth of what lies between neighbours in a ranking.
 */

import { decodeVector, rotate } from './rotation.js';
import { assemble } from './wasm-text.js';

/** Bytes of a SIMD register: rows are padded to a multiple of it. */
const REGISTER = 16;
/** Rows between two looks at the results; their products take 16 KiB. */
const BATCH = 4096;
/** With fewer rows plain JavaScript is quick enough; each memory of WebAssembly takes gigabytes of address space. */
const SIMD_FROM = 1024;
const PAGE = 65536;
const MOST_PAGES = 65536;
/** The greatest number of a row, -128, which ours do not have. */
const GREATEST = 128;

/**
 * Products of one query, i16, with rows of int8: i32, from `out` on. `stride` is a multiple of 16. One row after the other:
 * this is as fast as memory can be read in order, and two or four rows side by side took more than twice as long.
 */
const KERNEL = {
  params: /** @type {const} */ ({ query: 'i32', row: 'i32', end: 'i32', stride: 'i32', out: 'i32' }),
  locals: /** @type {const} */ ({ at: 'i32', sum: 'v128' }),
  body: `
    loop $rows
      i32.const 0
      i32x4.splat
      local.set $sum
      i32.const 0
      local.set $at
      loop $numbers
        ${[0, 8].map((first) => `local.get $row       ;; eight numbers of the row, one byte each
        local.get $at
        i32.add
        v128.load8x8_s offset=${first}
        local.get $query     ;; eight of the query, two bytes each
        local.get $at
        i32.const 1
        i32.shl
        i32.add
        v128.load offset=${2 * first}
        i32x4.dot_i16x8_s    ;; four sums of two products
        local.get $sum
        i32x4.add
        local.set $sum`).join('\n')}
        local.get $at
        i32.const 16
        i32.add
        local.tee $at
        local.get $stride
        i32.lt_u
        br_if $numbers
      end
      local.get $out
      ${[0, 1, 2, 3].map((lane) => `local.get $sum
      i32x4.extract_lane ${lane}`).join('\n')}
      i32.add
      i32.add
      i32.add
      i32.store offset=0
      local.get $out
      i32.const 4
      i32.add
      local.set $out
      local.get $row
      local.get $stride
      i32.add
      local.tee $row
      local.get $end
      i32.lt_u
      br_if $rows
    end`,
};

/** @type {WebAssembly.Module | null | undefined} */
let kernel;

/** The kernel, or null where WebAssembly has no SIMD or is forbidden: then plain JavaScript does it. */
function compileKernel() {
  if (kernel !== undefined) return kernel;
  try {
    kernel = new WebAssembly.Module(assemble(KERNEL));
  } catch (error) {
    if (error instanceof SyntaxError) throw error; // the text above is wrong
    kernel = null;
  }
  return kernel;
}

export class VectorStore {
  dimensions;
  count = 0;
  #block;
  #module;
  #stride;
  /** @type {WebAssembly.Memory | null} */
  #memory = null;
  /** @type {((query: number, row: number, end: number, stride: number, out: number) => void) | null} */
  #run = null;
  /** Query, products, rows: one after the other, in the memory of the kernel. @type {ArrayBuffer} */
  #buffer;
  #rowsAt;
  #scales = new Float32Array(64);

  /**
   * @param {number} dimensions
   * @param {{ block: number, simd?: boolean }} options `block` of the rotation; `simd: false` does without
   */
  constructor(dimensions, { block, simd = true }) {
    this.dimensions = dimensions;
    this.#block = block;
    this.#stride = Math.ceil(dimensions / REGISTER) * REGISTER;
    this.#rowsAt = 2 * this.#stride + 4 * BATCH;
    this.#module = simd ? compileKernel() : null;
    this.#buffer = new ArrayBuffer(this.#rowsAt);
  }

  /** Whether SIMD instructions are at work. */
  get simd() {
    return this.#memory !== null;
  }

  /**
   * Add rows.
   *
   * @param {Int8Array} codes rotated, one row after the other
   * @param {Float32Array} scales one for each row
   * @returns {number} the first new row
   */
  append(codes, scales) {
    const first = this.count;
    this.reserve(first + scales.length);
    const rows = this.#rows();
    if (this.#stride === this.dimensions) rows.set(codes, first * this.#stride);
    else {
      for (let row = 0; row < scales.length; row++) {
        rows.set(codes.subarray(row * this.dimensions, (row + 1) * this.dimensions), (first + row) * this.#stride);
      }
    }
    this.#scales.set(scales, first);
    this.count += scales.length;
    return first;
  }

  /** Make room. @param {number} count rows in all @throws {RangeError} when the browser gives no more memory */
  reserve(count) {
    if (count > this.#scales.length) {
      const scales = new Float32Array(Math.max(count, 1.5 * this.#scales.length));
      scales.set(this.#scales);
      this.#scales = scales;
    }
    const needed = this.#rowsAt + count * this.#stride;
    const stays = this.#memory || !this.#module || count < SIMD_FROM;
    if (needed <= this.#buffer.byteLength && stays) return;
    // Half as much again, so that an album that grows photo by photo does not ask each time.
    const wanted = Math.ceil(this.count ? Math.max(needed, 1.5 * this.#buffer.byteLength) : needed);
    const pages = Math.min(Math.ceil(wanted / PAGE), Math.max(Math.ceil(needed / PAGE), MOST_PAGES));
    if (this.#memory) {
      this.#memory.grow(pages - this.#buffer.byteLength / PAGE);
      this.#buffer = this.#memory.buffer;
      return;
    }
    const old = new Uint8Array(this.#buffer);
    if (this.#module && count >= SIMD_FROM) {
      this.#memory = new WebAssembly.Memory({ initial: pages, maximum: MOST_PAGES });
      const { exports } = new WebAssembly.Instance(this.#module, { js: { memory: this.#memory } });
      this.#run = /** @type {any} */ (exports.run);
      this.#buffer = this.#memory.buffer;
    } else {
      this.#buffer = new ArrayBuffer(wanted);
    }
    new Uint8Array(this.#buffer).set(old);
  }

  /** Codes of a row, copied. @param {number} row */
  codes(row) {
    return this.#rows().slice(row * this.#stride, row * this.#stride + this.dimensions);
  }

  /** @param {number} row */
  scale(row) {
    return this.#scales[row] ?? 0;
  }

  /** @param {number} row @returns {Float32Array} of length 1 */
  vector(row) {
    return decodeVector(this.codes(row), this.scale(row), this.#block);
  }

  #rows() {
    return new Int8Array(this.#buffer, this.#rowsAt);
  }

  /** Bring a query to length 1 and rotate it. @param {Float32Array} query */
  #turn(query) {
    if (query.length !== this.dimensions) throw new RangeError(`A query of ${query.length} numbers, not ${this.dimensions}.`);
    const length = Math.sqrt(query.reduce((sum, value) => sum + value * value, 0));
    if (!(length > 0 && length < Infinity)) throw new RangeError('A query without a direction.');
    return rotate(query.map((value) => value / length), this.#block);
  }

  /**
   * Cosines of all rows with a query, wrong by at most half a step in each of its numbers times the sum of a row's, which
   * is at most the root of their count: 0.0001 for 512 of them.
   *
   * @param {Float32Array} query of any length but 0; its length does not matter
   */
  scores(query) {
    const turned = this.#turn(query);
    const largest = turned.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    // The greatest number for which no sum leaves 32 bits.
    const levels = Math.min(32767, Math.floor((2 ** 31 - 1) / (GREATEST * this.dimensions)));
    const step = largest / levels;
    const rounded = new Int16Array(this.#buffer, 0, this.#stride);
    rounded.fill(0);
    for (let at = 0; at < turned.length; at++) rounded[at] = Math.round(/** @type {number} */ (turned[at]) / step);
    const sums = new Int32Array(this.#buffer, 2 * this.#stride, BATCH);
    const scores = new Float32Array(this.count);
    for (let first = 0; first < this.count; first += BATCH) {
      const count = Math.min(BATCH, this.count - first);
      const start = this.#rowsAt + first * this.#stride;
      if (this.#run) this.#run(0, start, start + count * this.#stride, this.#stride, sums.byteOffset);
      else this.#multiply(rounded, first, count, sums);
      for (let row = 0; row < count; row++) {
        scores[first + row] = /** @type {number} */ (sums[row]) * step * /** @type {number} */ (this.#scales[first + row]);
      }
    }
    return scores;
  }

  /** The kernel in plain JavaScript. @param {Int16Array} query @param {number} first @param {number} count @param {Int32Array} sums */
  #multiply(query, first, count, sums) {
    const rows = this.#rows();
    for (let row = 0; row < count; row++) {
      const start = (first + row) * this.#stride;
      let sum = 0;
      for (let at = 0; at < this.dimensions; at++) {
        sum += /** @type {number} */ (query[at]) * /** @type {number} */ (rows[start + at]);
      }
      sums[row] = sum;
    }
  }
}

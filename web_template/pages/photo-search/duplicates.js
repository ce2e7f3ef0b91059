/**
 * @file Worker only: which photos show the same, so that a search shows one of them.
 *
 * Two photos are twins when their perceptual hashes differ in at most 6 of 64 bits and the model takes them for the
 * same: copies in other formats and sizes, and shots of one moment. Hashes are looked up by their quarters: of two that
 * differ in 6 bits, at least one quarter is equal or differs in one bit. So 68 short lists are looked through, whatever
 * the size of the album: of 100,000 photos all twins are found within a second.
 */

import { Column } from '../../shared/index-columns.js';
import { hammingDistance } from '../../shared/perceptual.js';

const BITS = 6;
const COSINE = 0.97;
const QUARTERS = 4;
const QUARTER_BITS = 16;
/** Photos of one hash and different looks, a thousand scanned letters: beyond so many nobody looks for a twin. */
const MOST_COMPARED = 100;

/** @param {readonly [number, number]} hash @param {number} quarter */
const quarterOf = (hash, quarter) => (/** @type {number} */ (hash[quarter >> 1]) >>> (QUARTER_BITS * (quarter & 1))) & 0xffff;

/** @param {Float32Array} a @param {Float32Array} b */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += /** @type {number} */ (a[i]) * /** @type {number} */ (b[i]);
  return sum;
}

export class Duplicates {
  /** The first of its twins, by row; itself where there is none. @type {number[]} */
  #leader = [];
  /** @type {Map<number, number[]>} */
  #twins = new Map();
  /** Rows of those that lead. @type {number[]} */
  #rows = [];
  #hashes = new Column(Uint32Array, 2);
  /** Lists of those whose quarter of the hash is the same: the newest, plus 1, for each value of each quarter … */
  #newest = new Uint32Array(QUARTERS << QUARTER_BITS);
  /** … and the one before each, in the same way. */
  #before = new Column(Uint32Array, QUARTERS);
  #vectorOf;

  /** @param {(row: number) => Float32Array} vectorOf */
  constructor(vectorOf) {
    this.#vectorOf = vectorOf;
  }

  /** @param {number} row @param {[number, number] | null} hash null: nothing is known, it has no twins */
  add(row, hash) {
    this.#leader[row] = row;
    if (!hash) return;
    const found = this.#find(row, hash);
    if (found !== undefined) {
      this.#leader[row] = found;
      const others = this.#twins.get(found);
      if (others) others.push(row);
      else this.#twins.set(found, [row]);
      return;
    }
    const number = this.#rows.push(row);
    this.#hashes.append(hash);
    const lists = Array.from({ length: QUARTERS }, (_, quarter) => (quarter << QUARTER_BITS) | quarterOf(hash, quarter));
    this.#before.append(lists.map((list) => /** @type {number} */ (this.#newest[list])));
    for (const list of lists) this.#newest[list] = number;
  }

  /** @param {number} row @param {[number, number]} hash */
  #find(row, hash) {
    const [hashes, before] = [this.#hashes.values, this.#before.values];
    /** @type {[number, number]} */
    const other = [0, 0];
    const compared = new Set();
    /** @type {Float32Array | undefined} */
    let vector;
    for (let quarter = 0; quarter < QUARTERS; quarter++) {
      const own = (quarter << QUARTER_BITS) | quarterOf(hash, quarter);
      for (let bit = -1; bit < QUARTER_BITS; bit++) {
        const list = bit < 0 ? own : own ^ (1 << bit);
        for (let number = /** @type {number} */ (this.#newest[list]); number; number = /** @type {number} */ (before[(number - 1) * QUARTERS + quarter])) {
          other[0] = /** @type {number} */ (hashes[2 * number - 2]);
          other[1] = /** @type {number} */ (hashes[2 * number - 1]);
          if (hammingDistance(hash, other) > BITS || compared.has(number)) continue;
          if (compared.size === MOST_COMPARED) return undefined;
          compared.add(number);
          const leader = /** @type {number} */ (this.#rows[number - 1]);
          vector ??= this.#vectorOf(row);
          if (dot(vector, this.#vectorOf(leader)) >= COSINE) return leader;
        }
      }
    }
    return undefined;
  }

  /** @param {number} row */
  leader(row) {
    return this.#leader[row] ?? row;
  }

  /** The others that show the same. @param {number} row @returns {number[]} */
  twins(row) {
    const first = this.leader(row);
    return [first, ...(this.#twins.get(first) ?? [])].filter((other) => other !== row);
  }

  /** Of allowed rows that show the same, leave the first. @param {Uint8Array} allowed by row: 0 is passed over */
  fold(allowed) {
    for (const [first, others] of this.#twins) {
      let shown = allowed[first] === 1;
      for (const row of others) {
        if (shown) allowed[row] = 0;
        else shown = allowed[row] === 1;
      }
    }
  }

  /** Photos that are folded away under another. */
  get folded() {
    return [...this.#twins.values()].reduce((sum, rows) => sum + rows.length, 0);
  }
}

/**
 * @file Worker only: which photos show the same, so that a search shows one of them.
 *
 * Two photos are twins when their perceptual hashes differ in at most 6 of 64 bits and the model takes them for the
 * same: copies in other formats and sizes, and shots of one moment. Hashes are looked up by their parts: of two that
 * differ in 6 bits, at least one of 7 parts is equal.
 */

import { hammingDistance } from '../../shared/perceptual.js';

const BITS = 6;
const COSINE = 0.97;
/** First bit of each part and how many it has: 64 bits in 7 parts. @type {[number, number][]} */
const PARTS = [[0, 9], [9, 9], [18, 9], [27, 9], [36, 9], [45, 9], [54, 10]];

/** @param {[number, number]} hash @param {number} first @param {number} bits */
function bitsOf([low, high], first, bits) {
  const from = first < 32 ? (low >>> first) | (first && first + bits > 32 ? high << (32 - first) : 0) : high >>> (first - 32);
  return from & ((1 << bits) - 1);
}

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
  /** Leaders by part of their hash. @type {Map<number, number[]>[]} */
  #buckets = PARTS.map(() => new Map());
  /** @type {Map<number, [number, number]>} */
  #hashes = new Map();
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
      this.#twins.set(found, [...(this.#twins.get(found) ?? []), row]);
      return;
    }
    this.#hashes.set(row, hash);
    PARTS.forEach(([first, bits], i) => {
      const bucket = /** @type {Map<number, number[]>} */ (this.#buckets[i]);
      const key = bitsOf(hash, first, bits);
      const rows = bucket.get(key);
      if (rows) rows.push(row);
      else bucket.set(key, [row]);
    });
  }

  /** @param {number} row @param {[number, number]} hash */
  #find(row, hash) {
    /** @type {Float32Array | undefined} */
    let vector;
    for (const [i, [first, bits]] of PARTS.entries()) {
      for (const other of this.#buckets[i]?.get(bitsOf(hash, first, bits)) ?? []) {
        if (hammingDistance(hash, /** @type {[number, number]} */ (this.#hashes.get(other))) > BITS) continue;
        vector ??= this.#vectorOf(row);
        if (dot(vector, this.#vectorOf(other)) >= COSINE) return other;
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

  /** Photos that are folded away under another. */
  get folded() {
    return [...this.#twins.values()].reduce((sum, rows) => sum + rows.length, 0);
  }
}

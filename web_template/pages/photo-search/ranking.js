/**
 * @file Worker only: from terms and examples to a ranking. Pure arithmetic on scores; who computes them is worker.js.
 */

/** @import { Cutoff } from './cutoff.js' */

import { likeCutoff, spread } from './cutoff.js';

/** Below the cut-off, so many are told at most; a visitor who looks there sees the best of them. */
const MOST_BELOW = 60;
/**
 * When nothing matches, so many of the nearest are told at least, however far below they lie: what a short query asks
 * for is mostly among them, though it reaches no more than chance does.
 */
const NEAREST = 12;

/** One part of a query with its score for every row. @typedef {{ weight: number, example: boolean, scores: Float32Array }} Part */

/**
 * Add the parts of a query up. A photo's score is the weighted mean over what is wanted, less what is not wanted as far
 * as that lies above chance: a photo without a beach loses nothing by `-beach`.
 *
 * Examples score on another level than sentences; beside a sentence they are brought to its level first.
 *
 * @param {Part[]} parts at least one
 * @param {Cutoff} cutoff of sentences in this album
 * @returns {{ scores: Float32Array, cutoff: Cutoff }}
 */
export function combine(parts, cutoff) {
  const [only] = parts;
  if (only && parts.length === 1 && only.weight > 0) {
    return { scores: only.scores, cutoff: only.example ? likeCutoff(only.scores) : cutoff };
  }
  const mixed = parts.some(({ example }) => !example);
  const wanted = parts.reduce((sum, { weight }) => sum + Math.max(weight, 0), 0);
  const scores = new Float32Array(only?.scores.length ?? 0);
  for (const { weight, example, scores: own } of parts) {
    const share = weight / (wanted || 1);
    const level = example && mixed ? spread(own) : null;
    for (let row = 0; row < scores.length; row++) {
      let score = /** @type {number} */ (own[row]);
      if (level) score = cutoff.mean + ((score - level.mean) / (level.deviation || 1)) * cutoff.deviation;
      if (weight < 0) score = Math.max(0, score - cutoff.mean);
      scores[row] = /** @type {number} */ (scores[row]) + share * score;
    }
  }
  if (!wanted) {
    // Only what is not wanted: all of the album, the photos that show least of it first, without a cut-off below it.
    return { scores, cutoff: { ...cutoff, found: -cutoff.deviation, near: -2 * cutoff.deviation } };
  }
  return { scores, cutoff: mixed ? cutoff : likeCutoff(scores) };
}

/**
 * Order the rows that may be shown.
 *
 * Rows are sorted as numbers, each a score and a row in one: a sort with a function of ours takes ten times as long.
 *
 * @param {Float32Array} scores by row
 * @param {Cutoff} cutoff
 * @param {Uint8Array} allowed by row: 0 is passed over
 * @returns {{ rows: Uint32Array, scores: Float32Array, found: number, near: number, searched: number }}
 *   best first, of equal ones the lower row; the first `found` match, `near` more lie just below, and some of the nearest
 *   follow, so that there is something to be shown when nothing matches
 */
export function rank(scores, cutoff, allowed) {
  const count = scores.length;
  const rowBits = Math.ceil(Math.log2(count + 1));
  const [room, dropped] = [2 ** rowBits, Math.max(0, 32 + rowBits - 53)]; // a number holds 53 bits
  const bits = new Uint32Array(scores.buffer, scores.byteOffset, count);
  const keys = new Float64Array(count);
  const nearest = new Nearest();
  let [matching, chosen, searched] = [0, 0, 0];
  for (let row = 0; row < count; row++) {
    const score = /** @type {number} */ (scores[row]);
    if (!allowed[row] || score === -Infinity) continue;
    searched += 1;
    const pattern = /** @type {number} */ (bits[row]);
    // Rises as the score falls: the bits of a float rise with it, but those of a negative one the other way round.
    const key = ((pattern >>> 31 ? pattern : ~(pattern | 0x80000000)) >>> dropped) * room + row;
    if (score >= cutoff.near || score >= cutoff.found) keys[chosen++] = key;
    else nearest.offer(key);
    if (score >= cutoff.found) matching += 1;
  }
  const near = chosen - matching;
  const rest = nearest.keys.slice(0, Math.max(0, (matching ? MOST_BELOW : NEAREST) - near));
  const sorted = keys.subarray(0, chosen).sort();
  const rows = new Uint32Array(chosen + rest.length);
  for (let at = 0; at < chosen; at++) rows[at] = /** @type {number} */ (sorted[at]) % room;
  rest.forEach((key, at) => (rows[chosen + at] = key % room));
  return { rows, scores: Float32Array.from(rows, (row) => /** @type {number} */ (scores[row])), found: matching, near, searched };
}

/** The least few of many numbers, in order: most are looked at once. */
class Nearest {
  /** @type {number[]} */
  keys = [];

  /** @param {number} key */
  offer(key) {
    const { keys } = this;
    if (keys.length === MOST_BELOW) {
      if (key >= /** @type {number} */ (keys[MOST_BELOW - 1])) return;
      keys.pop();
    }
    let at = keys.length;
    while (at && /** @type {number} */ (keys[at - 1]) > key) at -= 1;
    keys.splice(at, 0, key);
  }
}

/**
 * @file Worker only: from terms and examples to a ranking. Pure arithmetic on scores; who computes them is worker.js.
 */

/** @import { Cutoff } from './cutoff.js' */

import { likeCutoff, spread } from './cutoff.js';

/** Below the cut-off, so many are told at most; a visitor who looks there sees the best of them. */
const MOST_BELOW = 60;
/**
 * When nothing matches, so many of the nearest are told, however far below they lie: what a short query asks for is
 * mostly among them, though it reaches no more than chance does.
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
 * @param {Float32Array} scores by row
 * @param {Cutoff} cutoff
 * @param {(row: number) => boolean} allowed
 * @returns {{ rows: Uint32Array, scores: Float32Array, found: number, near: number, searched: number }}
 *   best first; the first `found` match, `near` more lie just below, a few follow after these; where nothing matches,
 *   `near` is 0 and `rows` are the nearest
 */
export function rank(scores, cutoff, allowed) {
  /** @type {number[]} */
  const matching = [];
  /** @type {number[]} */
  const below = [];
  let searched = 0;
  scores.forEach((score, row) => {
    if (score === -Infinity || !allowed(row)) return;
    searched += 1;
    (score >= cutoff.found ? matching : below).push(row);
  });
  const byScore = (/** @type {number} */ a, /** @type {number} */ b) =>
    /** @type {number} */ (scores[b]) - /** @type {number} */ (scores[a]) || a - b;
  matching.sort(byScore);
  const near = matching.length ? below.filter((row) => /** @type {number} */ (scores[row]) >= cutoff.near).length : 0;
  const rest = topOf(below, scores, matching.length ? Math.max(MOST_BELOW, near) : NEAREST).sort(byScore);
  const rows = Uint32Array.from([...matching, ...rest]);
  const ordered = Float32Array.from(rows, (row) => /** @type {number} */ (scores[row]));
  return { rows, scores: ordered, found: matching.length, near, searched };
}

/** The best `count` rows, in no order. @param {number[]} rows @param {Float32Array} scores @param {number} count */
function topOf(rows, scores, count) {
  if (rows.length <= count) return rows;
  const values = Float32Array.from(rows, (row) => /** @type {number} */ (scores[row])).sort();
  const least = /** @type {number} */ (values[values.length - count]);
  return rows.filter((row) => /** @type {number} */ (scores[row]) >= least).slice(0, count);
}

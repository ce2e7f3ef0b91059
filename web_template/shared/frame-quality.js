/**
 * @file What is wrong with a picture before any model sees it: covered, too dark, or blurred. Worth saying to somebody
 * who cannot see the picture themselves.
 */

import { FINE } from './luma.js';

/** @typedef {'' | 'covered' | 'dark' | 'blurred'} Fault */

/** Mean grey below which things can hardly be told apart, and the contrast that makes up for it (a lamp at night). */
const DARK_MEAN = 38;
const DARK_RANGE = 110;
/** A finger or a lens cap: dark, and the same all over. */
const COVERED_MEAN = 60;
const COVERED_RANGE = 14;
/** Less contrast than this is a wall or the sky, of which nobody can say whether it is sharp. */
const PLAIN_RANGE = 30;
/**
 * The steepest half per cent of a sharp picture's edges takes a third of the contrast and more from one pixel to the
 * next; an edge blurred over s pixels takes 1 / (2.5 s) of it.
 */
const SHARP_SHARE = 0.13;

/**
 * Judge a picture.
 *
 * @param {Uint8Array} fine grey values, FINE × FINE
 * @returns {Fault} empty: nothing to complain of
 */
export function judgeFrame(fine) {
  const greys = new Uint32Array(256);
  const steps = new Uint32Array(256);
  let sum = 0;
  for (let row = 0; row < FINE - 1; row += 1) {
    for (let column = 0; column < FINE - 1; column += 1) {
      const at = row * FINE + column;
      const here = /** @type {number} */ (fine[at]);
      const across = Math.abs(here - /** @type {number} */ (fine[at + 1]));
      const down = Math.abs(here - /** @type {number} */ (fine[at + FINE]));
      sum += here;
      greys[here] = /** @type {number} */ (greys[here]) + 1;
      const step = Math.max(across, down);
      steps[step] = /** @type {number} */ (steps[step]) + 1;
    }
  }
  const count = (FINE - 1) ** 2;
  const mean = sum / count;
  const range = quantile(greys, count, 0.99) - quantile(greys, count, 0.01);
  if (mean < COVERED_MEAN && range < COVERED_RANGE) return 'covered';
  if (mean < DARK_MEAN && range < DARK_RANGE) return 'dark';
  if (range > PLAIN_RANGE && quantile(steps, count, 0.995) < SHARP_SHARE * range) return 'blurred';
  return '';
}

/** @param {Uint32Array} histogram @param {number} count @param {number} share */
function quantile(histogram, count, share) {
  let seen = 0;
  for (let value = 0; value < histogram.length; value += 1) {
    seen += /** @type {number} */ (histogram[value]);
    if (seen > share * count) return value;
  }
  return histogram.length - 1;
}

/**
 * @file Worker only: labels for every photo of the album, by zero-shot classification against a fixed list.
 */

/** @import { AlbumIndex } from '../../shared/index-file.js' */
/** @import { Cutoff } from './cutoff.js' */

/** A photo has at most this many tags: the labels that suit it best. */
const MOST_TAGS = 3;

export class Tags {
  /** @type {Map<string, Set<number>>} */
  #rows = new Map();
  /** What the rows were labelled with as they are now. */
  #current = '';

  /** The album has changed: assign anew when asked. */
  forget() {
    this.#current = '';
  }

  /**
   * @param {AlbumIndex} index @param {readonly string[]} labels @param {Float32Array[]} vectors of the labels
   * @param {Cutoff} cutoff @param {AbortSignal} signal
   */
  async assign(index, labels, vectors, cutoff, signal) {
    const list = labels.join('|');
    if (this.#current === list) return;
    const count = index.count;
    const best = new Float32Array(count * MOST_TAGS).fill(-Infinity);
    const chosen = new Int16Array(count * MOST_TAGS).fill(-1);
    for (const [label, vector] of vectors.entries()) {
      const scores = index.scores(vector);
      for (let row = 0; row < count; row++) {
        const score = /** @type {number} */ (scores[row]);
        if (score < cutoff.near) continue; // one word says less than a sentence, and reaches less
        insert(best, chosen, row * MOST_TAGS, score, label);
      }
      await new Promise((resolve) => setTimeout(resolve)); // a search may go first
      signal.throwIfAborted();
    }
    this.#rows = new Map();
    chosen.forEach((label, at) => {
      if (label < 0) return;
      const name = /** @type {string} */ (labels[label]);
      const rows = this.#rows.get(name) ?? new Set();
      this.#rows.set(name, rows.add(Math.floor(at / MOST_TAGS)));
    });
    this.#current = list;
  }

  /** @param {string} label */
  rows(label) {
    return this.#rows.get(label) ?? new Set();
  }

  /** Labels that some photo has, the most frequent first. */
  counts() {
    return [...this.#rows].map(([label, rows]) => ({ label, photos: rows.size })).sort((a, b) => b.photos - a.photos);
  }
}

/** Keep the best few of a row in order. @param {Float32Array} best @param {Int16Array} chosen @param {number} from @param {number} score @param {number} label */
function insert(best, chosen, from, score, label) {
  let at = from + MOST_TAGS - 1;
  if (score <= /** @type {number} */ (best[at])) return;
  for (; at > from && score > /** @type {number} */ (best[at - 1]); at--) {
    best[at] = /** @type {number} */ (best[at - 1]);
    chosen[at] = /** @type {number} */ (chosen[at - 1]);
  }
  best[at] = score;
  chosen[at] = label;
}

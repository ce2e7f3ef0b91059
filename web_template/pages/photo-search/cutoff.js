/**
 * @file Worker only: from which score on a photo counts as found.
 *
 * A cosine means little by itself: every model has its own level, and in a large album something is always a little
 * similar. So sentences that describe no photo, abstract or about things that have no look (`neutral` in
 * sentences.json), are scored against the album as it is. What the best photo reaches for these is what chance gives,
 * and a real match has to lie clearly above it.
 *
 * The figures were chosen on the embedded album. In ten other drawn albums 98 of 100 captions are found, and of 100 things
 * that are not there 97 are not. Of few words about one thing (“a red box”) 27 of 100 are found: with several things in
 * a photo one of them lifts its score no higher than something like it does. So the nearest are at hand (ranking.js).
 */

/** @typedef {{ found: number, near: number, mean: number, deviation: number }} Cutoff `near`: from here on “just below” */

/** How far above chance a match lies, in standard deviations of what the best photo reaches by chance. */
const FOUND_BEYOND = 2.4;
const NEAR_BEYOND = 1;
/** The same against all scores by chance, which holds an album of few photos to the level of a larger one. */
const FOUND_BEYOND_ALL = 2.6;
const NEAR_BEYOND_ALL = 2;
/** For searches by example there are no neutral pictures; the album itself is what an example is measured against. */
const LIKE_FOUND = 2;
const LIKE_NEAR = 1.4;
/** A photo whose vector is this near shows the same (duplicates.js), however much alike all of a small album is. */
const LIKE_SAME = 0.97;

/** @param {ArrayLike<number>} values */
export function spread(values) {
  let [count, sum, squares, most] = [0, 0, 0, -1];
  for (let i = 0; i < values.length; i++) {
    const value = /** @type {number} */ (values[i]);
    if (value === -Infinity) continue; // removed photos
    count += 1;
    sum += value;
    squares += value * value;
    if (value > most) most = value;
  }
  const mean = count ? sum / count : 0;
  return { mean, most, deviation: count ? Math.sqrt(Math.max(0, squares / count - mean * mean)) : 0 };
}

/**
 * Measure what chance gives in this album.
 *
 * @param {Float32Array[]} scores of each neutral sentence, by row
 * @returns {Cutoff}
 */
export function measureCutoff(scores) {
  const parts = scores.map((row) => spread(row));
  const top = spread(parts.map(({ most }) => most));
  const mean = spread(parts.map((part) => part.mean)).mean;
  const deviation = Math.sqrt(spread(parts.map((part) => part.deviation ** 2 + (part.mean - mean) ** 2)).mean);
  return {
    found: Math.max(top.mean + FOUND_BEYOND * top.deviation, mean + FOUND_BEYOND_ALL * deviation),
    near: Math.max(top.mean + NEAR_BEYOND * top.deviation, mean + NEAR_BEYOND_ALL * deviation),
    mean,
    deviation,
  };
}

/** For examples alone: measured against the scores of this very search. @param {Float32Array} scores @returns {Cutoff} */
export function likeCutoff(scores) {
  const { mean, deviation } = spread(scores);
  const found = Math.min(mean + LIKE_FOUND * deviation, LIKE_SAME);
  return { found, near: Math.min(mean + LIKE_NEAR * deviation, found), mean, deviation };
}

/** Up to so many photos measuring takes a moment, and is done before the answer. */
const SOON = 20_000;
/** Measured anew when the album has grown or shrunk by more than a tenth. */
const GROWTH = 1.1;

/**
 * The cut-off of an album as it is, or nearly: of many photos it is measured when nobody waits for it, unless there is
 * none yet, or one of half as many.
 */
export class MeasuredCutoff {
  /** @type {{ cutoff: Cutoff, alive: number } | null} */
  #measured = null;
  /** @type {Promise<Cutoff> | null} */
  #measuring = null;
  #index;
  #neutral;
  /** What is measured for an earlier round is about other vectors. */
  #round = 0;

  /** @param {import('../../shared/index-file.js').AlbumIndex} index @param {() => Promise<Float32Array[]>} neutral vectors of neutral sentences */
  constructor(index, neutral) {
    this.#index = index;
    this.#neutral = neutral;
  }

  /** Rows have come without being new photos: measure when next asked. */
  forget() {
    this.#measured = this.#measuring = null;
    this.#round += 1;
  }

  /** @returns {Promise<Cutoff>} */
  async current() {
    const { alive } = this.#index;
    const off = this.#measured ? Math.max(alive / this.#measured.alive, this.#measured.alive / alive) : Infinity;
    if (this.#measured && !(off > GROWTH)) return this.#measured.cutoff;
    this.#measuring ??= this.#measure(this.#round);
    if (!this.#measured || alive <= SOON || off > 2) return this.#measuring;
    this.#measuring.catch(() => {}); // the next search measures again, and is told
    return this.#measured.cutoff;
  }

  /** @param {number} round */
  async #measure(round) {
    const { alive } = this.#index;
    try {
      const scores = [];
      for (const vector of await this.#neutral()) {
        scores.push(this.#index.scores(vector));
        if (alive > SOON) await new Promise((resolve) => setTimeout(resolve)); // a search may go first
      }
      const cutoff = measureCutoff(scores);
      if (round === this.#round) this.#measured = { cutoff, alive };
      return cutoff;
    } finally {
      if (round === this.#round) this.#measuring = null;
    }
  }
}

/**
 * @file Lets work that takes much memory wait for its turn. No DOM.
 */

export class Turns {
  #most;
  #taken = 0;
  /** @type {{ amount: number, start: () => void }[]} */
  #waiting = [];

  /** @param {number} most what may be taken at a time; more than that is done alone */
  constructor(most) {
    this.#most = most;
  }

  /**
   * Do something when there is room for it, one after the other in the order of asking.
   *
   * @template T @param {number} amount of what there is `most` of @param {() => Promise<T>} work @returns {Promise<T>}
   */
  async take(amount, work) {
    const taken = Math.min(amount, this.#most);
    await /** @type {Promise<void>} */ (new Promise((start) => {
      this.#waiting.push({ amount: taken, start });
      this.#next();
    }));
    try {
      return await work();
    } finally {
      this.#taken -= taken;
      this.#next();
    }
  }

  #next() {
    for (let [first] = this.#waiting; first && this.#taken + first.amount <= this.#most; [first] = this.#waiting) {
      this.#waiting.shift();
      this.#taken += first.amount;
      first.start();
    }
  }
}

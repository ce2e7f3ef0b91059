/**
 * @file What an index knows of each photo besides its vector: typed arrays that grow, one number or two for each row.
 */

/** @typedef {Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Float64Array<ArrayBuffer> | Uint8Array<ArrayBuffer>} Numbers */

/** @template {Numbers} T */
export class Column {
  /** @type {T} */
  #values;
  #width;
  #make;
  length = 0;

  /** @param {{ new (length: number): T }} make @param {number} [width] numbers for each row */
  constructor(make, width = 1) {
    this.#make = make;
    this.#width = width;
    this.#values = new make(0);
  }

  /** The numbers of all rows, on the memory that holds them: it is valid until the next `append`. @returns {T} */
  get values() {
    return /** @type {T} */ (this.#values.subarray(0, this.length * this.#width));
  }

  /** @param {number} row @param {number} [part] @returns {number} */
  at(row, part = 0) {
    return row < this.length ? /** @type {number} */ (this.#values[row * this.#width + part]) : NaN;
  }

  /** @param {ArrayLike<number>} numbers of whole rows */
  append(numbers) {
    const used = this.length * this.#width;
    if (used + numbers.length > this.#values.length) {
      const grown = new this.#make(Math.max(used + numbers.length, Math.ceil(1.5 * this.#values.length), 64));
      grown.set(this.values);
      this.#values = grown;
    }
    this.#values.set(numbers, used);
    this.length += numbers.length / this.#width;
  }

  /** Numbers of some rows. @param {readonly number[]} rows @returns {T} */
  pick(rows) {
    const picked = new this.#make(rows.length * this.#width);
    rows.forEach((row, at) => {
      for (let part = 0; part < this.#width; part++) picked[at * this.#width + part] = this.at(row, part);
    });
    return picked;
  }
}

/**
 * @file Thumbnails of an index: in memory, in a file, or behind an address, where neighbours are fetched together.
 */

/** @import { Source } from './index-source.js' */

import { Column } from './index-columns.js';

/** Thumbnails that lie no further apart than this are read together, up to so many bytes at once. */
const GAP_BYTES = 16 << 10;
const TOGETHER_BYTES = 1 << 20;
const JPEG = [0xff, 0xd8, 0xff];
const RIFF = [0x52, 0x49, 0x46, 0x46];

/** @typedef {{ row: number, resolve: (found: Blob | null) => void, reject: (why: unknown) => void }} Wish */

export class Thumbnails {
  /** Where a row's picture lies: number of its source plus 1, or 0 for none. */
  #source = new Column(Uint32Array);
  #offset = new Column(Float64Array);
  #length = new Column(Uint32Array);
  /** @type {Source[]} */
  #sources = [];
  /** @type {Wish[]} */
  #wishes = [];

  /** Rows without a picture. @param {number} count */
  appendNone(count) {
    this.#source.append(new Uint32Array(count));
    this.#offset.append(new Float64Array(count));
    this.#length.append(new Uint32Array(count));
  }

  /**
   * Rows whose pictures lie one after the other.
   *
   * @param {Source} source
   * @param {number} start of the first
   * @param {Uint32Array} lengths 0 for none
   */
  append(source, start, lengths) {
    const number = this.#sources.push(source);
    const offsets = new Float64Array(lengths.length);
    lengths.forEach((length, at) => {
      offsets[at] = start;
      start += length;
    });
    this.#source.append(Uint32Array.from(lengths, (length) => (length ? number : 0)));
    this.#offset.append(offsets);
    this.#length.append(lengths);
  }

  /** @param {number} row */
  has(row) {
    return this.#source.at(row) > 0;
  }

  /** Bytes of a picture. @param {number} row */
  bytes(row) {
    return this.#length.at(row) || 0;
  }

  /** One picture; null where there is none, or what is there is none. @param {number} row @returns {Promise<Blob | null>} */
  read(row) {
    if (!this.has(row)) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      // What is asked for in one go, the tiles of a screen, is read in one go.
      if (!this.#wishes.length) setTimeout(() => this.#grant(this.#wishes.splice(0)));
      this.#wishes.push({ row, resolve, reject });
    });
  }

  /** @param {Wish[]} wishes */
  #grant(wishes) {
    const place = (/** @type {Wish} */ { row }) => ({ source: this.#source.at(row), from: this.#offset.at(row), to: this.#offset.at(row) + this.bytes(row) });
    const sorted = wishes.map((wish) => ({ wish, ...place(wish) })).sort((a, b) => a.source - b.source || a.from - b.from);
    /** @type {(typeof sorted)[]} */
    const groups = [];
    for (const one of sorted) {
      const group = groups.at(-1);
      const [first, last] = [group?.[0], group?.at(-1)];
      const near = first && last && one.source === first.source && one.from - last.to <= GAP_BYTES && one.to - first.from <= TOGETHER_BYTES;
      if (group && near) group.push(one);
      else groups.push([one]);
    }
    for (const group of groups) {
      const [first, end] = [/** @type {(typeof sorted)[0]} */ (group[0]), Math.max(...group.map(({ to }) => to))];
      const source = /** @type {Source} */ (this.#sources[first.source - 1]);
      source.read(first.from, end - first.from).then(
        (bytes) => group.forEach(({ wish, from, to }) => wish.resolve(picture(bytes.slice(from - first.from, to - first.from)))),
        (why) => group.forEach(({ wish }) => wish.reject(why)),
      );
    }
  }
}

/** Only these two kinds are shown: a file of somebody else's must not bring a document. @param {Uint8Array<ArrayBuffer>} bytes */
function picture(bytes) {
  const starts = (/** @type {number[]} */ mark) => mark.every((byte, at) => bytes[at] === byte);
  if (starts(JPEG)) return new Blob([bytes], { type: 'image/jpeg' });
  return starts(RIFF) ? new Blob([bytes], { type: 'image/webp' }) : null;
}

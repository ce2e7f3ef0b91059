/**
 * @file The index of an album in the browser: opened from a file or an address, or filled photo by photo, searched, and
 * written again. Page and worker alike; no DOM. The format is that of builder/album/format.py, where Python has its side.
 *
 * An index file is also what an index is kept as while it grows: `append` takes a file of a few hundred photos in, and
 * `encode` makes one of any rows.
 */

/** @import { Source } from './index-source.js' */

import { Column } from './index-columns.js';
import { DEGREES, IndexError, MOST_HEADER_BYTES, NOWHERE, damaged, parseHeader, writeFile } from './index-layout.js';
import { badName, packNames, unpackNames } from './index-names.js';
import { packSection, possibleDate, readDates, unpackSection, writeDates } from './index-sections.js';
import { openSource, readInParts } from './index-source.js';
import { Thumbnails } from './index-thumbnails.js';
import { encodeVector, rotationBlock } from './rotation.js';
import { VectorStore } from './vectors.js';

export { IndexError };

/** Bytes of vectors that are read at once: from a network few, so that a search soon covers some; a file takes longer in many parts. */
const CHUNK_BYTES = { remote: 8 << 20, local: 16 << 20 };
/** Thumbnails that are held in memory at a time while an index is written. */
const THUMBNAILS_AT_ONCE = 64;
const MOST_UINT32 = 2 ** 32 - 1;

/** @typedef {{ space: string, model: string, dimensions: number, rounding?: string }} Facts see `Facts` in builder/album/format.py */
/**
 * One photo to add.
 *
 * @typedef {object} Photo
 * @property {string} name path below the chosen folder, "/" between the parts
 * @property {number} size bytes
 * @property {number} modified whole seconds since 1970
 * @property {number} date milliseconds of the clock on the wall where it was taken, read as UTC; NaN: unknown
 * @property {{ lat: number, lon: number } | null} place
 * @property {readonly [number, number] | null} hash see perceptual.js
 * @property {Float32Array} vector of any length but 0
 * @property {Blob | Uint8Array<ArrayBuffer> | null} [thumbnail] JPEG or WebP
 */
/** @typedef {{ rows: number, loaded_bytes: number, total_bytes: number }} Progress rows that a search covers so far */

/**
 * An empty index.
 *
 * @param {Facts} facts
 */
export const createIndex = (facts) => new AlbumIndex(facts);

/**
 * Open an index. It resolves as soon as all is known but the vectors; from an address these go on arriving, a search
 * covers those that are there, and `complete` says when it covers all.
 *
 * @param {Blob | ArrayBuffer | Uint8Array | string} from a string is an address, read by ranges
 * @param {object} [options]
 * @param {string | null} [options.space] of the model that queries will come from; another one is refused
 * @param {AbortSignal} [options.signal]
 * @param {(progress: Progress) => void} [options.onProgress]
 * @returns {Promise<AlbumIndex>}
 * @throws {IndexError}
 */
export async function openIndex(from, { space = null, signal, onProgress } = {}) {
  const source = await openSource(from, signal);
  const layout = await readLayout(source);
  if (space !== null && layout.space !== space) {
    throw new IndexError('model', `This index was made with another model (${layout.model}): its vectors cannot be compared with this page's.`);
  }
  const index = new AlbumIndex(layout);
  index.rounding = (await index.read(source, layout, onProgress)).rounding;
  if (!source.remote) await index.complete;
  return index;
}

/** @param {Source} source */
const readLayout = async (source) => parseHeader(await source.read(0, Math.min(MOST_HEADER_BYTES, source.size)), source.size);

/** Rows keep their numbers as long as the index is open; a removed one is dead, and never found again. */
export class AlbumIndex {
  /** Resolves when the vectors of all rows are there; rejects with an IndexError. @type {Promise<void>} */
  complete = Promise.resolve();
  /** Living rows. */
  alive = 0;
  /** How the weights of the model were rounded that made the vectors; '' where that is unknown. */
  rounding;
  #facts;
  #vectors;
  /** @type {string[]} */
  #names = [];
  #living = new Column(Uint8Array);
  #sizes = new Column(Uint32Array);
  #modified = new Column(Uint32Array);
  #dates = new Column(Float64Array);
  #places = new Column(Int32Array, 2);
  #hashes = new Column(Uint32Array, 2);
  #thumbnails = new Thumbnails();
  /** One file after the other: rows must not mix. @type {Promise<unknown>} */
  #appending = Promise.resolve();

  /** @param {Facts} facts */
  constructor({ space, model, dimensions, rounding = '' }) {
    this.#facts = { space, model, dimensions, rotation: rotationBlock(dimensions) };
    this.rounding = rounding;
    this.#vectors = new VectorStore(dimensions, { block: this.#facts.rotation });
  }

  get space() {
    return this.#facts.space;
  }

  get model() {
    return this.#facts.model;
  }

  get dimensions() {
    return this.#facts.dimensions;
  }

  /** All rows, the dead ones too. */
  get count() {
    return this.#names.length;
  }

  /** Names of all rows. @returns {readonly string[]} */
  names() {
    return this.#names;
  }

  /** @param {number} row */
  name(row) {
    return this.#names[row] ?? '';
  }

  /** Bytes of the photo's file. @param {number} row */
  size(row) {
    return this.#sizes.at(row);
  }

  /** Seconds since 1970. @param {number} row */
  modified(row) {
    return this.#modified.at(row);
  }

  /** Milliseconds, as if in UTC; NaN: unknown. @param {number} row */
  date(row) {
    return this.#dates.at(row);
  }

  /** @param {number} row @returns {{ lat: number, lon: number } | null} */
  place(row) {
    const [lat, lon] = [this.#places.at(row) / DEGREES, this.#places.at(row, 1) / DEGREES];
    return Math.abs(lat) <= 90 && Math.abs(lon) <= 180 ? { lat, lon } : null;
  }

  /** @param {number} row @returns {[number, number] | null} */
  hash(row) {
    const [low, high] = [this.#hashes.at(row), this.#hashes.at(row, 1)];
    return low || high ? [low, high] : null;
  }

  /** 1 for each living row, 0 for a dead one: valid until the next photo. */
  get living() {
    return this.#living.values;
  }

  /** Of all rows, as `date` says, likewise. */
  get dates() {
    return this.#dates.values;
  }

  /** @param {number} row */
  isAlive(row) {
    return this.#living.at(row) === 1;
  }

  /** @param {number} row @returns {Float32Array} of length 1 */
  vector(row) {
    return this.#vectors.vector(row);
  }

  /** @param {number} row */
  hasThumbnail(row) {
    return this.#thumbnails.has(row);
  }

  /** @param {number} row @returns {Promise<Blob | null>} */
  thumbnail(row) {
    return this.#thumbnails.read(row);
  }

  /** Cosines of all rows whose vectors are there, dead ones with minus infinity. @param {Float32Array} query of any length but 0 */
  scores(query) {
    const scores = this.#vectors.scores(query);
    if (this.alive < this.count) {
      const { living } = this;
      for (let row = 0; row < scores.length; row++) if (!living[row]) scores[row] = -Infinity;
    }
    return scores;
  }

  /**
   * Add a photo.
   *
   * @param {Photo} photo
   * @returns {number} its row
   * @throws {RangeError} when its name is none, or its vector has no direction
   */
  add(photo) {
    if (this.#vectors.count < this.count) throw new Error('This index is still being read.');
    if (badName(photo.name)) throw new RangeError(`“${photo.name}” is no name of a photo.`);
    if (photo.vector.length !== this.dimensions) throw new RangeError(`A vector of ${photo.vector.length} numbers, not ${this.dimensions}.`);
    const { codes, scale } = encodeVector(photo.vector);
    this.#vectors.append(codes, Float32Array.of(scale));
    this.#sizes.append([Math.min(photo.size, MOST_UINT32)]);
    this.#modified.append([Math.min(Math.max(Math.floor(photo.modified), 0), MOST_UINT32)]);
    this.#dates.append([possibleDate(photo.date)]);
    this.#places.append(photo.place ? [photo.place.lat * DEGREES, photo.place.lon * DEGREES].map(Math.round) : [NOWHERE, NOWHERE]);
    this.#hashes.append(photo.hash ?? [0, 0]);
    this.#appendThumbnail(photo.thumbnail ?? null);
    this.#live(1);
    return this.#names.push(photo.name) - 1;
  }

  /**
   * Take the photos of an index file in.
   *
   * @param {Blob | ArrayBuffer | Uint8Array} from made with the same model
   * @returns {Promise<{ first: number, count: number, rounding: string }>} its rows here, and how its model was rounded
   * @throws {IndexError}
   */
  append(from) {
    const appended = this.#appending.then(() => this.#append(from));
    this.#appending = appended.catch(() => {}); // whoever asked for it is told
    return appended;
  }

  /** @param {Blob | ArrayBuffer | Uint8Array} from */
  async #append(from) {
    await this.complete;
    const source = await openSource(from);
    const layout = await readLayout(source);
    if (layout.space !== this.space || layout.dimensions !== this.dimensions) {
      throw new IndexError('model', `This index was made with another model (${layout.model}).`);
    }
    const { first, rounding } = await this.read(source, layout);
    try {
      await this.complete;
    } catch (error) {
      this.#giveUp(first); // what was there before stays, and goes on growing
      throw error;
    }
    return { first, count: layout.photos, rounding };
  }

  /** Rows whose vectors did not come are dead from the first on. @param {number} first */
  #giveUp(first) {
    for (let row = first; row < this.count; row++) this.remove(row);
    const missing = this.count - this.#vectors.count;
    this.#vectors.append(new Int8Array(missing * this.dimensions), new Float32Array(missing));
    this.complete = Promise.resolve();
  }

  /** Let a photo go: it is found no more, and not written again. @param {number} row */
  remove(row) {
    if (!this.isAlive(row)) return;
    this.#living.values[row] = 0;
    this.alive -= 1;
  }

  /**
   * Write living rows as an index file.
   *
   * @param {{ rows?: readonly number[], thumbnails?: boolean }} [options] all of them, by default with thumbnails
   */
  async encode({ rows, thumbnails = true } = {}) {
    await this.complete;
    const chosen = (rows ?? this.#names.map((_, row) => row)).filter((row) => this.isAlive(row));
    const codes = new Int8Array(chosen.length * this.dimensions);
    chosen.forEach((row, at) => codes.set(this.#vectors.codes(row), at * this.dimensions));
    const places = this.#places.pick(chosen);
    const hashes = this.#hashes.pick(chosen);
    const pictured = thumbnails && chosen.some((row) => this.hasThumbnail(row));
    const pictures = pictured ? await this.#writeThumbnails(chosen) : null;
    /** @type {[string, ArrayBufferView<ArrayBuffer>][]} */
    const sections = [
      ['made', new TextEncoder().encode(this.rounding)],
      ['name', packNames(chosen.map((row) => this.name(row)))],
      ['size', this.#sizes.pick(chosen)],
      ['modi', this.#modified.pick(chosen)],
      ['date', writeDates(this.#dates.pick(chosen))],
    ];
    if (places.some((value) => value !== NOWHERE)) sections.push(['plac', places]);
    if (hashes.some((value) => value !== 0)) sections.push(['hash', hashes]);
    if (pictures) sections.push(['tlen', pictures.lengths]);
    sections.push(['scal', Float32Array.from(chosen, (row) => this.#vectors.scale(row))]);
    const packed = await Promise.all(sections.map(([name, data]) => packSection(name, data)));
    return writeFile(this.#facts, chosen.length, [...packed, { name: 'vect', data: codes, plain: 0 }], pictures?.blob ?? null);
  }

  /**
   * Take the rows of a source in; the vectors go on arriving, see `complete`. Used by `openIndex` and `append`.
   *
   * @param {Source} source
   * @param {import('./index-layout.js').Layout} layout
   * @param {(progress: Progress) => void} [onProgress]
   * @returns {Promise<{ first: number, rounding: string }>} its first row, and how its model was rounded
   */
  async read(source, { photos, sections, rotation }, onProgress = () => {}) {
    if (rotation !== this.#facts.rotation) throw damaged(`a rotation of ${rotation}`);
    const ends = [...sections].map(([name, { offset, length }]) => (name === 'vect' || name === 'thum' ? 0 : offset + length));
    const front = await source.read(0, Math.max(...ends));
    if (front.length < Math.max(...ends)) throw damaged('it is cut off');
    /** @type {Map<string, Uint8Array<ArrayBuffer>>} */
    const plain = new Map();
    await Promise.all([...sections].map(async ([name, section]) => {
      if (name !== 'vect' && name !== 'thum') plain.set(name, await unpackSection(name, front.slice(section.offset, section.offset + section.length), section.plain));
    }));
    const bytes = (/** @type {string} */ name) => plain.get(name) ?? new Uint8Array();
    const section = /** @type {import('./index-layout.js').Section} */ (sections.get('vect'));
    const vectors = readInParts(source, section, Math.max(1, Math.floor(CHUNK_BYTES[source.remote ? 'remote' : 'local'] / this.dimensions)) * this.dimensions);
    const names = unpackNames(bytes('name'), photos);
    const scales = new Float32Array(bytes('scal').buffer);
    if (!scales.every((scale) => scale >= 0 && scale < Infinity)) throw damaged('a scale is no number');
    const lengths = new Uint32Array(bytes('tlen').buffer);
    const pictures = sections.get('thum');
    if (pictures && lengths.reduce((sum, length) => sum + length, 0) !== pictures.length) {
      throw damaged('its thumbnails are not as long as it says');
    }
    this.#sizes.append(new Uint32Array(bytes('size').buffer));
    this.#modified.append(new Uint32Array(bytes('modi').buffer));
    const first = this.count;
    this.#dates.append(readDates(new Uint32Array(bytes('date').buffer)));
    this.#places.append(sections.has('plac') ? new Int32Array(bytes('plac').buffer) : new Int32Array(2 * photos).fill(NOWHERE));
    this.#hashes.append(sections.has('hash') ? new Uint32Array(bytes('hash').buffer) : new Uint32Array(2 * photos));
    if (pictures) this.#thumbnails.append(source, pictures.offset, lengths);
    else this.#thumbnails.appendNone(photos);
    this.#live(photos);
    this.#names = this.#names.concat(names);
    this.complete = this.#takeVectors(vectors, scales, (loaded) => {
      onProgress({ rows: this.count - photos + loaded / this.dimensions, loaded_bytes: front.length + loaded, total_bytes: front.length + section.length });
    });
    this.complete.catch(() => {}); // whoever waits for it is told; nobody has to
    return { first, rounding: new TextDecoder().decode(bytes('made')) };
  }

  /**
   * @param {() => Promise<Uint8Array> | undefined} next
   * @param {Float32Array} scales
   * @param {(loaded: number) => void} onLoaded
   */
  async #takeVectors(next, scales, onLoaded) {
    this.#vectors.reserve(this.#vectors.count + scales.length);
    for (let row = 0; row < scales.length;) {
      const part = await next();
      const rows = (part?.length ?? 0) / this.dimensions;
      if (!part || !Number.isInteger(rows)) throw damaged('it is cut off');
      this.#vectors.append(new Int8Array(part.buffer, part.byteOffset, part.length), scales.subarray(row, row + rows));
      row += rows;
      onLoaded(row * this.dimensions);
    }
  }

  /** @param {number} count */
  #live(count) {
    this.#living.append(new Uint8Array(count).fill(1));
    this.alive += count;
  }

  /** @param {Blob | Uint8Array<ArrayBuffer> | null} picture */
  #appendThumbnail(picture) {
    if (!picture) return this.#thumbnails.appendNone(1);
    const blob = picture instanceof Blob ? picture : new Blob([picture]);
    const read = async (/** @type {number} */ at, /** @type {number} */ length) => new Uint8Array(await blob.slice(at, at + length).arrayBuffer());
    return this.#thumbnails.append({ size: blob.size, remote: false, read }, 0, Uint32Array.of(blob.size));
  }

  /** @param {readonly number[]} rows */
  async #writeThumbnails(rows) {
    const lengths = new Uint32Array(rows.length);
    /** @type {Blob[]} */
    const blobs = [];
    for (let at = 0; at < rows.length; at += THUMBNAILS_AT_ONCE) {
      const found = await Promise.all(rows.slice(at, at + THUMBNAILS_AT_ONCE).map((row) => this.thumbnail(row)));
      found.forEach((blob, number) => (lengths[at + number] = blob?.size ?? 0));
      blobs.push(new Blob(found.filter((blob) => blob !== null)));
    }
    return { lengths, blob: new Blob(blobs) };
  }
}

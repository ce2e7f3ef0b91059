/**
 * @file Worker only: the album in memory and on disk. Vectors and facts are an AlbumIndex (shared/index-file.js); this
 * adds what a page needs beside it: which file is which row, twins, thumbnails, and writing all of it down as it grows.
 */

/** @import { AlbumIndex } from '../../shared/index-file.js' */
/** @import { Comparison, Listed } from './listing.js' */

import { IndexError, createIndex } from '../../shared/index-file.js';
import { Duplicates } from './duplicates.js';
import { compare, keyOf } from './listing.js';
import { isFull } from './store.js';

/** A crash loses at most this much work. */
const SAVE_AFTER_PHOTOS = 32;
const SAVE_AFTER_MS = 2000;
/** Rows looked at in one go for twins, between which the worker answers other requests. */
const SLICE = 2000;

/** @typedef {{ name: string, size: number, modified: number, date: number, place: { lat: number, lon: number } | null, hash: [number, number] | null, vector: Float32Array, thumbnail: Uint8Array<ArrayBuffer> }} NewPhoto */

export class Album {
  index;
  twins;
  /** Why what is new is kept until the page is closed only: there is no room, or no storage. @type {'' | 'full' | 'none'} */
  unsaved;
  #store;
  /** @type {Map<string, number>} */
  #rows = new Map();
  /** Where a row lies on disk. @type {Map<number, { chunk: number, offset: number }>} */
  #homes = new Map();
  /** Chunks that this page wrote, which are small and become one. @type {Map<number, number[]>} */
  #own = new Map();
  /** Thumbnails that are not on disk (yet). @type {Map<number, Uint8Array<ArrayBuffer>>} */
  #thumbnails = new Map();
  /** Photos that an earlier visit kept and that nobody can read any more. */
  lost = 0;
  /** @type {number[]} */
  #unwritten = [];
  #saved_ms = 0;
  #writing = Promise.resolve();

  /** @param {AlbumIndex} index @param {import('./store.js').Store | null} store */
  constructor(index, store) {
    this.index = index;
    this.#store = store;
    this.unsaved = store ? '' : /** @type {const} */ ('none');
    this.twins = new Duplicates((row) => this.index.vector(row));
  }

  /**
   * Open what an earlier visit kept.
   *
   * @param {import('../../shared/index-file.js').Facts} facts of what the model here makes
   * @param {import('./store.js').Store | null} store
   */
  static async restore(facts, store) {
    const album = new Album(createIndex(facts), store);
    await album.#catchUp();
    return album;
  }

  /**
   * Do something to the album while no other tab does so, on what the others have made of it meanwhile: so nothing is
   * read or kept twice.
   *
   * @template T @param {(album: Album) => Promise<T>} work @param {AbortSignal} signal @returns {Promise<T>}
   */
  async alone(work, signal) {
    const { locks } = navigator;
    if (!this.#store || !locks) return work(this);
    const name = `webgpu-demo photos ${this.index.space}`;
    return locks.request(name, { signal }, async () => {
      await this.#catchUp();
      return work(this);
    });
  }

  /** Take in the chunks that lie in the store and are not known here: another tab wrote them, or an earlier visit. */
  async #catchUp() {
    const before = this.index.count;
    const known = new Set([...this.#homes.values()].map(({ chunk }) => chunk));
    for (const { id, bytes, own, gone, count } of (await this.#store?.chunks()) ?? []) {
      if (known.has(id)) continue;
      const taken = await this.#takeChunk(/** @type {Blob} */ (bytes));
      if (taken === 'damaged') {
        this.lost += count;
        await this.#store?.dropChunk(id);
      }
      if (typeof taken === 'string') continue;
      const dead = new Set(gone);
      /** @type {number[]} */
      const rows = [];
      for (let offset = 0; offset < taken.count; offset++) {
        const row = taken.first + offset;
        const twin = this.#rows.get(this.key(row)); // another tab had read the same photo, or has put chunks together
        if (twin !== undefined || dead.has(offset)) this.index.remove(row);
        else this.#know(row);
        if (!dead.has(offset)) this.#homes.set(twin ?? row, { chunk: id, offset });
        rows.push(twin ?? row);
      }
      if (own) this.#own.set(id, rows);
    }
    if (this.index.count > before) await this.findTwins();
  }

  /** @param {Blob | Uint8Array} bytes @returns {Promise<{ first: number, count: number } | 'damaged' | 'unreachable'>} */
  async #takeChunk(bytes) {
    try {
      return await this.index.append(bytes);
    } catch (error) {
      if (error instanceof IndexError) return error.code === 'network' ? 'unreachable' : 'damaged';
      throw error;
    }
  }

  /** An album that lies elsewhere and is only looked at. @param {AlbumIndex} index */
  static of(index) {
    const album = new Album(index, null);
    album.unsaved = ''; // nothing of it is to be kept here
    return album;
  }

  /** @param {number} row */
  #know(row) {
    if (this.index.isAlive(row)) this.#rows.set(this.key(row), row);
  }

  /** @param {Listed} photo @returns {number | undefined} */
  rowOf(photo) {
    return this.#rows.get(keyOf(photo));
  }

  /** @param {number} row */
  key(row) {
    const { index } = this;
    return keyOf({ name: index.name(row), size: index.size(row), modified: index.modified(row) });
  }

  /** Look for twins anew, a slice at a time. */
  async findTwins() {
    const twins = new Duplicates((row) => this.index.vector(row));
    for (let row = 0; row < this.index.count; row++) {
      if (this.index.isAlive(row)) twins.add(row, this.index.hash(row));
      if (row % SLICE === SLICE - 1) await new Promise((resolve) => setTimeout(resolve));
    }
    this.twins = twins;
  }

  /** @param {Listed[]} listing @param {string} root @param {boolean} complete @returns {Comparison} */
  compare(listing, root, complete) {
    return compare(listing, root, complete, this.#rows);
  }

  /** @param {NewPhoto} photo @returns {number} its row */
  add({ thumbnail, ...photo }) {
    const before = this.#rows.get(keyOf(photo));
    if (before !== undefined) return before; // it came by another way meanwhile
    const row = this.index.add({ ...photo, thumbnail: null });
    this.#rows.set(keyOf(photo), row);
    this.#thumbnails.set(row, thumbnail);
    this.twins.add(row, photo.hash);
    this.#unwritten.push(row);
    return row;
  }

  /** Write what is new, if it is enough or has waited long enough. */
  async saveSome() {
    const waits = performance.now() - this.#saved_ms;
    if (this.#unwritten.length >= SAVE_AFTER_PHOTOS || (this.#unwritten.length && waits > SAVE_AFTER_MS)) await this.save();
  }

  /** Write all that is new. When there is no room it stays in memory, and `unsaved` says so. */
  save() {
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write() {
    this.#saved_ms = performance.now();
    const rows = this.#unwritten.filter((row) => this.index.isAlive(row));
    if (!this.#store || !rows.length) return;
    const bytes = await this.index.encode({ rows, thumbnails: false });
    const written = new Set(rows);
    this.#unwritten = this.#unwritten.filter((row) => this.index.isAlive(row) && !written.has(row));
    // Those of earlier photos too for which there was no room then.
    const pictures = [...this.#thumbnails].filter(([row]) => written.has(row) || this.#homes.has(row));
    try {
      const thumbnails = new Map(pictures.map(([row, thumbnail]) => [this.key(row), thumbnail]));
      const id = await this.#store.putChunk({ bytes, count: rows.length, own: true }, { thumbnails });
      this.#settle(id, rows);
      for (const [row] of pictures) this.#thumbnails.delete(row);
      this.unsaved = '';
    } catch (error) {
      this.unsaved = isFull(error) ? 'full' : 'none';
      await this.#writeWithoutThumbnails(bytes, rows);
    }
  }

  /** The vectors are a fortieth of it: they may still fit. @param {Blob} bytes @param {number[]} rows */
  async #writeWithoutThumbnails(bytes, rows) {
    try {
      const id = await /** @type {import('./store.js').Store} */ (this.#store).putChunk({ bytes, count: rows.length, own: true });
      this.#settle(id, rows);
    } catch {
      this.#unwritten = [...rows, ...this.#unwritten]; // tried again with the next photos; the page says what that means
    }
  }

  /** @param {number} chunk @param {number[]} rows */
  #settle(chunk, rows) {
    this.#own.set(chunk, rows);
    rows.forEach((row, offset) => this.#homes.set(row, { chunk, offset }));
  }

  /** Make one chunk of the small ones: opening a hundred takes longer than opening one. */
  async tidy() {
    await this.save();
    const store = this.#store;
    if (!store || this.#own.size < 8) return;
    const instead = [...this.#own.keys()];
    const rows = [...this.#own.values()].flat().filter((row) => this.index.isAlive(row));
    if (!rows.length) return;
    try {
      const bytes = await this.index.encode({ rows, thumbnails: false });
      const id = await store.putChunk({ bytes, count: rows.length, own: true }, { instead });
      this.#own.clear();
      this.#settle(id, rows);
    } catch (error) {
      if (!isFull(error)) throw error; // without room they stay as many chunks as they are
    }
  }

  /** @param {Blob} file an index that was made elsewhere @returns how many photos came with it, and whether by weights of another rounding */
  async openFile(file) {
    const { first, count, rounding } = await this.index.append(file);
    /** @type {number[]} */
    const gone = [];
    for (let row = first; row < first + count; row++) {
      if (this.#rows.has(this.key(row))) {
        this.index.remove(row); // known already; the copy that has a thumbnail of its own stays
        gone.push(row - first);
      } else {
        this.#know(row);
        this.twins.add(row, this.index.hash(row));
      }
      if (row % SLICE === SLICE - 1) await new Promise((resolve) => setTimeout(resolve));
    }
    try {
      const id = await this.#store?.putChunk({ bytes: file, count, own: false });
      for (let row = first; id !== undefined && row < first + count; row++) this.#homes.set(row, { chunk: id, offset: row - first });
      if (id !== undefined && gone.length) await this.#store?.removeRows(new Map([[id, gone]]), []);
    } catch (error) {
      this.unsaved = isFull(error) ? 'full' : 'none';
    }
    return { opened: count - gone.length, other_rounding: rounding !== this.index.rounding };
  }

  /** @param {number[]} rows */
  async remove(rows) {
    await this.#writing;
    /** @type {Map<number, number[]>} */
    const gone = new Map();
    const keys = [];
    let hadTwins = false;
    for (const row of rows) {
      if (!this.index.isAlive(row)) continue;
      const home = this.#homes.get(row);
      if (home) gone.set(home.chunk, [...(gone.get(home.chunk) ?? []), home.offset]);
      hadTwins ||= this.twins.twins(row).length > 0;
      keys.push(this.key(row));
      this.#rows.delete(this.key(row));
      this.#thumbnails.delete(row);
      this.#unwritten = this.#unwritten.filter((other) => other !== row);
      this.index.remove(row);
    }
    if (hadTwins) await this.findTwins();
    await this.#store?.removeRows(gone, keys);
  }

  /** @param {number} row @returns {Promise<Blob | null>} */
  async thumbnail(row) {
    if (this.index.hasThumbnail(row)) return this.index.thumbnail(row);
    const bytes = this.#thumbnails.get(row) ?? (await this.#store?.thumbnail(this.key(row)));
    return bytes ? new Blob([bytes], { type: 'image/jpeg' }) : null;
  }

  /** All of it as one file that the page, another device or Python can open. */
  async export() {
    const { index } = this;
    const copy = createIndex({ space: index.space, model: index.model, dimensions: index.dimensions, rounding: index.rounding });
    for (let row = 0; row < index.count; row++) {
      if (!index.isAlive(row)) continue;
      const thumbnail = await this.thumbnail(row);
      copy.add({
        name: index.name(row),
        size: index.size(row),
        modified: index.modified(row),
        date: index.date(row),
        place: index.place(row),
        hash: index.hash(row),
        vector: index.vector(row),
        thumbnail: thumbnail && new Uint8Array(await thumbnail.arrayBuffer()),
      });
    }
    return copy.encode({ thumbnails: true });
  }
}

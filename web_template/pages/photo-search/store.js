/**
 * @file Worker only: where the album stays between visits, an IndexedDB database of this origin.
 *
 * The vectors lie in chunks, each a small index file (shared/index-file.js); thumbnails lie one by one beside them. A
 * chunk and its thumbnails are written in one transaction: after a crash a photo is there with all that belongs to it,
 * or not at all. Everything carries the vector space of its model, so that another model never meets these vectors.
 */

import { DATABASE } from './kept.js';

const VERSION = 1;

/** @typedef {{ id: number, space: string, bytes: Blob | Uint8Array, count: number, own: boolean, gone: number[] }} Chunk `gone`: rows that were removed; `own`: written by this page, without thumbnails inside */
/** @typedef {{ space: string, root: string, kind: 'folder' | 'files' | 'sample', handle: FileSystemDirectoryHandle | null, unfinished: number }} Origin where photos came from; `unfinished`: photos that were not read yet */

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const result = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
const finished = (transaction) =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new DOMException('Writing was given up.', 'AbortError'));
  });

/** Whether a write failed because there is no room. @param {unknown} error */
export const isFull = (error) => error instanceof DOMException && error.name === 'QuotaExceededError';

export class Store {
  #database;
  #space;

  /** @param {IDBDatabase} database @param {string} space */
  constructor(database, space) {
    this.#database = database;
    this.#space = space;
  }

  /** @param {string} space @returns {Promise<Store | null>} null where the browser keeps nothing (some private windows) */
  static async open(space) {
    try {
      const request = indexedDB.open(DATABASE, VERSION);
      request.onupgradeneeded = () => {
        const database = request.result;
        database.createObjectStore('chunks', { keyPath: 'id', autoIncrement: true }).createIndex('space', 'space');
        database.createObjectStore('thumbnails');
        database.createObjectStore('origins', { keyPath: ['space', 'root'] });
        database.createObjectStore('texts');
      };
      const database = await result(request);
      database.onversionchange = () => database.close(); // another tab deletes everything, or has a newer page
      return new Store(database, space);
    } catch {
      return null;
    }
  }

  /** @returns {Promise<Chunk[]>} in the order in which they were written */
  async chunks() {
    const all = this.#database.transaction('chunks').objectStore('chunks').index('space').getAll(this.#space);
    return (await result(all)).sort((a, b) => a.id - b.id);
  }

  /**
   * Write a chunk, in place of others if it holds their rows.
   *
   * @param {Omit<Chunk, 'id' | 'space' | 'gone'>} chunk
   * @param {{ thumbnails?: Map<string, Uint8Array>, instead?: number[] }} [along]
   * @returns {Promise<number>} its id
   */
  async putChunk(chunk, { thumbnails = new Map(), instead = [] } = {}) {
    const transaction = this.#database.transaction(['chunks', 'thumbnails'], 'readwrite');
    const done = finished(transaction);
    const chunks = transaction.objectStore('chunks');
    const id = result(chunks.add({ ...chunk, space: this.#space, gone: [] }));
    for (const [key, bytes] of thumbnails) transaction.objectStore('thumbnails').put(bytes, this.#key(key));
    for (const old of instead) chunks.delete(old);
    id.catch(() => {}); // the transaction fails with it, and says why
    await done;
    return Number(await id);
  }

  /** @param {Map<number, number[]>} gone chunk → offsets of rows in it @param {string[]} thumbnails of these rows */
  async removeRows(gone, thumbnails) {
    const transaction = this.#database.transaction(['chunks', 'thumbnails'], 'readwrite');
    const done = finished(transaction);
    const chunks = transaction.objectStore('chunks');
    for (const [id, offsets] of gone) {
      chunks.get(id).onsuccess = ({ target }) => {
        const chunk = /** @type {IDBRequest<Chunk | undefined>} */ (target).result;
        if (chunk) chunks.put({ ...chunk, gone: [...chunk.gone, ...offsets] });
      };
    }
    for (const key of thumbnails) transaction.objectStore('thumbnails').delete(this.#key(key));
    await done;
  }

  /** @param {string} key @returns {Promise<Uint8Array<ArrayBuffer> | undefined>} */
  thumbnail(key) {
    return result(this.#database.transaction('thumbnails').objectStore('thumbnails').get(this.#key(key)));
  }

  /** @returns {Promise<Origin[]>} */
  async origins() {
    const all = await result(this.#database.transaction('origins').objectStore('origins').getAll());
    return all.filter(({ space }) => space === this.#space);
  }

  /** @param {Omit<Origin, 'space'>} origin */
  async putOrigin(origin) {
    const transaction = this.#database.transaction('origins', 'readwrite');
    const done = finished(transaction);
    transaction.objectStore('origins').put({ ...origin, space: this.#space });
    await done;
  }

  /** Vectors of texts that never change, computed once. @param {string} name @returns {Promise<Float32Array[] | undefined>} */
  texts(name) {
    return result(this.#database.transaction('texts').objectStore('texts').get(this.#key(name)));
  }

  /** @param {string} name @param {Float32Array[]} vectors */
  async putTexts(name, vectors) {
    const transaction = this.#database.transaction('texts', 'readwrite');
    const done = finished(transaction);
    transaction.objectStore('texts').put(vectors, this.#key(name));
    await done;
  }

  close() {
    this.#database.close();
  }

  /** Nobody can read it any more. @param {number} id */
  async dropChunk(id) {
    const transaction = this.#database.transaction('chunks', 'readwrite');
    const done = finished(transaction);
    transaction.objectStore('chunks').delete(id);
    await done;
  }

  /** @param {string} key */
  #key(key) {
    return `${this.#space.slice(0, 16)}|${key}`;
  }
}

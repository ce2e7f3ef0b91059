/**
 * @file What the page knows of the photos it shows: facts and thumbnails, asked of the worker when a photo comes into
 * view and forgotten when too many others came after it. Originals are opened from where they came.
 */

/** @import { PhotoCalls, PhotoFacts, PhotoSource } from '../../shared/protocol.js' */
/** @import { Session } from '../../shared/session.js' */

import { isAbort } from '../../shared/bridge.js';

/** Several screens full, on a large screen; a thumbnail is about 20 kB. */
const KEPT = 600;

/** @typedef {{ facts: PhotoFacts, url: string }} Shown `url` of the thumbnail; empty where there is none */

export class Pictures {
  /** Where originals are, by their name in the album. @type {Map<string, PhotoSource>} */
  sources = new Map();
  /** Folders of an earlier visit that may still be read, by name. @type {Map<string, FileSystemDirectoryHandle>} */
  folders = new Map();
  /** Addresses of originals that this page may show but not read (a published album). @type {(name: string) => string} */
  addressOf = () => '';
  /** @type {Map<number, Shown>} */
  #shown = new Map();
  /** @type {Map<number, { resolve: (shown: Shown) => void, tile: boolean }[]>} */
  #wanted = new Map();
  /** @type {() => Session<PhotoCalls> | null} */
  #session;
  #asking = false;

  /** @param {() => Session<PhotoCalls> | null} session */
  constructor(session) {
    this.#session = session;
  }

  /** What is known of a photo without asking. @param {number} row */
  known(row) {
    return this.#shown.get(row);
  }

  /** @param {number} row @param {boolean} [tile] it is for a tile, which may leave the screen first: see `keepOnly` @returns {Promise<Shown>} */
  get(row, tile = false) {
    const known = this.#shown.get(row);
    if (known) {
      this.#shown.delete(row); // to the end: the longest unseen goes first
      this.#shown.set(row, known);
      return Promise.resolve(known);
    }
    return new Promise((resolve) => {
      this.#wanted.set(row, [...(this.#wanted.get(row) ?? []), { resolve, tile }]);
      void this.#ask();
    });
  }

  /** Tiles that have left the screen before their turn came need no photo any more. @param {Set<number>} visible */
  keepOnly(visible) {
    for (const [row, wishes] of this.#wanted) {
      if (visible.has(row)) continue;
      const others = wishes.filter(({ tile }) => !tile);
      if (others.length) this.#wanted.set(row, others);
      else this.#wanted.delete(row);
    }
  }

  async #ask() {
    if (this.#asking) return;
    this.#asking = true;
    try {
      await Promise.resolve(); // so that a screen full is one request
      for (let session = this.#session(); session && this.#wanted.size; session = this.#session()) {
        const rows = [...this.#wanted.keys()].slice(0, 24);
        const [{ facts }, { thumbnails }] = await Promise.all([session.request('facts', { rows }), session.request('thumbnails', { rows })]);
        facts.forEach((fact, i) => {
          const blob = thumbnails[i];
          const url = blob ? URL.createObjectURL(blob) : this.addressOf(fact.name);
          this.#keep(fact.row, { facts: fact, url });
        });
      }
    } catch (error) {
      if (!isAbort(error)) this.#session()?.fail(error);
    } finally {
      this.#asking = false;
    }
  }

  /** @param {number} row @param {Shown} shown */
  #keep(row, shown) {
    this.#shown.set(row, shown);
    for (const { resolve } of this.#wanted.get(row) ?? []) resolve(shown);
    this.#wanted.delete(row);
    for (const [old, { url }] of this.#shown) {
      if (this.#shown.size <= KEPT) break;
      if (url.startsWith('blob:')) URL.revokeObjectURL(url);
      this.#shown.delete(old);
    }
  }

  /** Row numbers mean something else from now on. */
  forget() {
    for (const { url } of this.#shown.values()) if (url.startsWith('blob:')) URL.revokeObjectURL(url);
    this.#shown.clear();
    this.#wanted.clear();
  }

  /**
   * The file behind a photo.
   *
   * @param {string} name
   * @returns {Promise<Blob | null>} null when it is not open in this visit
   */
  async original(name) {
    const source = this.sources.get(name) ?? (await this.#inFolder(name));
    if (!source) return null;
    if (typeof source !== 'string') return 'getFile' in source ? source.getFile() : source;
    const response = await fetch(source);
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return response.blob();
  }

  /** @param {string} name @returns {Promise<FileSystemFileHandle | null>} */
  async #inFolder(name) {
    const [root = '', ...path] = name.split('/');
    let folder = this.folders.get(root);
    const file = path.pop();
    if (!folder || !file) return null;
    for (const part of path) folder = await folder.getDirectoryHandle(part);
    return folder.getFileHandle(file);
  }
}

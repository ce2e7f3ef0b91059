/**
 * @file Keeps downloaded files between visits: in pieces, under their checksums, in one Cache Storage cache.
 *
 * Pieces, so that a download that broke off goes on where it was; checksums, so that a site that is built again takes
 * over what has not changed and never mixes versions, and so that two pages of one origin share a file. Not OPFS: what
 * it refuses (WebKitGTK, private windows) Cache Storage refuses too or has, never the other way round. Whatever storage
 * refuses is held in memory instead, and `refused` says so.
 */

/** @import { FileEntry } from './protocol.js' */
/** @typedef {{ start: number, end: number, bytes: Uint8Array<ArrayBuffer> | null }} Piece `bytes`: held in memory */

const CACHE = 'webgpu-demo-files';
const MIB = 2 ** 20;

/** Addresses inside the cache; no server ever sees them. @param {string} name */
const address = (name) => `${location.origin}/webgpu-demo/${name}`;
/** @param {string} page */
const listAddress = (page) => address(`pages/${encodeURIComponent(page)}`);

/** At most 64 pieces a file: a browser takes milliseconds for each. @param {number} size_bytes */
export const pieceBytes = (size_bytes) => Math.max(1, Math.ceil(size_bytes / 64 / MIB)) * MIB;

/** What the cache holds: checksum → its pieces in order, and whether they were checked. @param {Cache} cache */
async function readIndex(cache) {
  /** @type {Map<string, { pieces: Piece[], sealed: boolean }>} */
  const index = new Map();
  for (const { url } of await cache.keys()) {
    const [, sha256 = '', name = ''] = url.match(/\/files\/(\w+)\/([\w-]+)$/) ?? [];
    if (!sha256) continue;
    const entry = index.get(sha256) ?? { pieces: [], sealed: false };
    index.set(sha256, entry);
    if (name === 'sealed') entry.sealed = true;
    else entry.pieces.push({ start: Number(name.split('-')[0]), end: Number(name.split('-')[1]), bytes: null });
  }
  for (const { pieces } of index.values()) pieces.sort((a, b) => a.start - b.start);
  return index;
}

export class Keep {
  /** Why nothing (more) is kept here; empty while all is. */
  refused = '';
  /** @type {Awaited<ReturnType<typeof readIndex>>} */
  #index = new Map();
  /** @type {Cache | null} */
  #cache = null;

  /**
   * Open what is kept here, and drop what no page of this origin needs any more.
   *
   * @param {string} page whose files these are
   * @param {FileEntry[]} files all that this page may ever need
   */
  static async open(page, files) {
    const keep = new Keep();
    try {
      const cache = (keep.#cache = await caches.open(CACHE));
      await cache.put(listAddress(page), new Response(JSON.stringify(files.map(({ sha256 }) => sha256))));
      await dropUnneeded(cache);
      keep.#index = await readIndex(cache);
    } catch (error) {
      keep.#refuse(error);
    }
    return keep;
  }

  /** How much of a file is here, from its beginning without a gap. @param {FileEntry} file */
  heldBytes({ sha256 }) {
    let end = 0;
    for (const piece of this.#index.get(sha256)?.pieces ?? []) if (piece.start <= end) end = Math.max(end, piece.end);
    return end;
  }

  /** The file is whole, and its checksum was right. @param {FileEntry} file */
  isSealed({ sha256, size_bytes }) {
    return this.#index.get(sha256)?.sealed === true && this.heldBytes({ path: '', sha256, size_bytes }) === size_bytes;
  }

  /**
   * Take a piece over; it counts as held at once, and is stored when the promise settles.
   *
   * @param {FileEntry} file @param {number} start @param {Uint8Array<ArrayBuffer>} bytes do not write to it again
   */
  async add({ sha256 }, start, bytes) {
    const end = start + bytes.byteLength;
    const entry = this.#index.get(sha256) ?? { pieces: [], sealed: false };
    this.#index.set(sha256, entry);
    /** @type {Piece} */
    const piece = { start, end, bytes };
    entry.pieces.push(piece);
    if (await this.#put(`files/${sha256}/${start}-${end}`, bytes)) piece.bytes = null;
  }

  /** Remember that the checksum was right. @param {FileEntry} file */
  async seal({ sha256 }) {
    const entry = this.#index.get(sha256);
    if (!entry) return;
    entry.sealed = true;
    if (entry.pieces.every(({ bytes }) => bytes === null)) await this.#put(`files/${sha256}/sealed`, new Uint8Array());
  }

  /**
   * Put a file together.
   *
   * @param {FileEntry} file
   * @param {boolean} [last] it is not needed again: what memory holds of it goes
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   * @throws {Error} when the browser has thrown pieces away since they were counted
   */
  async read({ path, sha256, size_bytes }, last = false) {
    const whole = new Uint8Array(size_bytes);
    for (const { start, end, bytes } of this.#index.get(sha256)?.pieces ?? []) {
      const kept = bytes ? null : await this.#cache?.match(address(`files/${sha256}/${start}-${end}`));
      const piece = bytes ?? (kept && new Uint8Array(await kept.arrayBuffer()));
      if (piece?.byteLength !== end - start) throw new Error(`A part of ${path} is no longer stored.`);
      whole.set(piece, start);
    }
    if (last && this.refused) this.#index.delete(sha256);
    return whole;
  }

  /** @param {FileEntry} file */
  async drop({ sha256 }) {
    const entry = this.#index.get(sha256);
    this.#index.delete(sha256);
    const names = ['sealed', ...(entry?.pieces ?? []).map(({ start, end }) => `${start}-${end}`)];
    for (const name of names) await this.#cache?.delete(address(`files/${sha256}/${name}`)).catch(() => false);
  }

  /** @param {string} name @param {Uint8Array<ArrayBuffer>} bytes @returns {Promise<boolean>} */
  async #put(name, bytes) {
    if (!this.#cache || this.refused) return false;
    try {
      await this.#cache.put(address(name), new Response(bytes));
      return true;
    } catch (error) {
      this.#refuse(error);
      return false;
    }
  }

  /** @param {unknown} error */
  #refuse(error) {
    this.refused = error instanceof Error ? error.name : String(error);
  }
}

/** @param {Cache} cache */
async function dropUnneeded(cache) {
  /** @type {Set<string>} */
  const needed = new Set();
  const keys = await cache.keys();
  for (const key of keys.filter(({ url }) => url.includes('/webgpu-demo/pages/'))) {
    for (const sha256 of await (await cache.match(key))?.json()) needed.add(sha256);
  }
  const others = keys.filter(({ url }) => url.includes('/files/') && !needed.has(url.split('/').at(-2) ?? ''));
  await Promise.all(others.map((key) => cache.delete(key)));
}

/**
 * How many bytes of these files are stored here.
 *
 * @param {FileEntry[]} files
 * @returns {Promise<number | null>} null where nothing can be stored
 */
export async function storedBytes(files) {
  try {
    const index = await readIndex(await caches.open(CACHE));
    const pieces = files.flatMap(({ sha256 }) => index.get(sha256)?.pieces ?? []);
    return pieces.reduce((sum, { start, end }) => sum + end - start, 0);
  } catch {
    return null;
  }
}

/** Delete the files of a page; those that another page of this origin needs as well stay. @param {string} page */
export async function deleteStored(page) {
  const cache = await caches.open(CACHE);
  await cache.delete(listAddress(page));
  await dropUnneeded(cache);
}

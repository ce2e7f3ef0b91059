/**
 * @file Keeps downloaded files between visits: in pieces, under their checksums, in one Cache Storage cache, or where
 * that is refused in a folder of OPFS (keep-folder.js).
 *
 * Pieces, so that a download that broke off goes on where it was; checksums, so that a site that is built again takes
 * over what has not changed and never mixes versions, and so that two pages of one origin share a file. The cache first,
 * because more browsers have it (WebKitGTK has no OPFS). Whatever both refuse is held in memory, and `refused` says so.
 */

/** @import { FileEntry } from './protocol.js' */
/** @typedef {{ start: number, end: number, bytes: Uint8Array<ArrayBuffer> | null }} Piece `bytes`: held in memory */

const CACHE = 'webgpu-demo-files';
const MIB = 2 ** 20;

/**
 * Bytes under names: `files/CHECKSUM/START-END`, `files/CHECKSUM/sealed`, `pages/PAGE`.
 *
 * @typedef {{
 *   names: () => Promise<string[]>,
 *   read: (name: string) => Promise<ArrayBuffer | null>,
 *   write: (name: string, bytes: Uint8Array<ArrayBuffer>) => Promise<void>,
 *   remove: (name: string) => Promise<unknown>,
 * }} Store
 */

/** @param {string} page */
const listName = (page) => `pages/${encodeURIComponent(page)}`;

/** @returns {Promise<Store>} */
async function openStore() {
  try {
    return inCache(await caches.open(CACHE));
  } catch (error) {
    const { openFolder } = await import('./keep-folder.js');
    return openFolder(CACHE).catch(() => Promise.reject(error));
  }
}

/** @param {Cache} cache @returns {Store} */
function inCache(cache) {
  const start = `${location.origin}/webgpu-demo/`; // no server ever sees these addresses
  return {
    names: async () => (await cache.keys()).map(({ url }) => url.slice(start.length)),
    read: async (name) => (await cache.match(start + name))?.arrayBuffer() ?? null,
    write: (name, bytes) => cache.put(start + name, new Response(bytes)),
    remove: (name) => cache.delete(start + name),
  };
}

/** At most 64 pieces a file: a browser takes milliseconds for each. @param {number} size_bytes */
export const pieceBytes = (size_bytes) => Math.max(1, Math.ceil(size_bytes / 64 / MIB)) * MIB;

/** What is stored: checksum → its pieces in order, and whether they were checked. @param {Store} store */
async function readIndex(store) {
  /** @type {Map<string, { pieces: Piece[], sealed: boolean }>} */
  const index = new Map();
  for (const path of await store.names()) {
    const [, sha256 = '', name = ''] = path.match(/^files\/(\w+)\/([\w-]+)$/) ?? [];
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
  /** @type {Store | null} */
  #store = null;

  /**
   * Open what is kept here, and drop what no page of this origin needs any more.
   *
   * @param {string} page whose files these are
   * @param {FileEntry[]} files all that this page may ever need
   */
  static async open(page, files) {
    const keep = new Keep();
    try {
      const store = (keep.#store = await openStore());
      keep.#index = await readIndex(store);
      // A full disk takes no list, and still has what it has; what no page needs goes another time.
      await writeList(store, page, files).then(() => dropUnneeded(store)).catch(() => {});
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
      const kept = bytes ? null : await this.#store?.read(`files/${sha256}/${start}-${end}`);
      const piece = bytes ?? (kept && new Uint8Array(kept));
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
    for (const name of names) await this.#store?.remove(`files/${sha256}/${name}`).catch(() => false);
  }

  /** @param {string} name @param {Uint8Array<ArrayBuffer>} bytes @returns {Promise<boolean>} */
  async #put(name, bytes) {
    if (!this.#store || this.refused) return false;
    try {
      await this.#store.write(name, bytes);
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

/** @param {Store} store @param {string} page @param {FileEntry[]} files */
const writeList = (store, page, files) => store.write(listName(page), new TextEncoder().encode(JSON.stringify(files.map(({ sha256 }) => sha256))));

/** Checksums that the pages of this origin need; null where what one of them needs cannot be read. @param {Store} store @param {string[]} names */
async function readNeeded(store, names) {
  /** @type {Set<string>} */
  const needed = new Set();
  try {
    for (const name of names.filter((name) => /^pages\/.*[^~]$/.test(name))) {
      const list = await store.read(name);
      if (list) for (const sha256 of JSON.parse(new TextDecoder().decode(list))) needed.add(sha256);
    }
    return needed;
  } catch {
    return null;
  }
}

/**
 * Delete what no page needs. Where that is unknown, only what is given.
 *
 * @param {Store} store @param {FileEntry[]} [given]
 */
async function dropUnneeded(store, given = []) {
  const names = await store.names();
  const needed = await readNeeded(store, names);
  const last = new Set(given.map(({ sha256 }) => sha256));
  const goes = (/** @type {string} */ sha256) => (needed ? !needed.has(sha256) : last.has(sha256));
  const others = names.filter((name) => name.startsWith('files/') && goes(name.split('/')[1] ?? ''));
  await Promise.all(others.map((name) => store.remove(name)));
}

/**
 * How many bytes of these files are stored here.
 *
 * @param {FileEntry[]} files
 * @returns {Promise<number | null>} null where nothing can be stored
 */
export async function storedBytes(files) {
  try {
    const index = await readIndex(await openStore());
    const pieces = files.flatMap(({ sha256 }) => index.get(sha256)?.pieces ?? []);
    return pieces.reduce((sum, { start, end }) => sum + end - start, 0);
  } catch {
    return null;
  }
}

/** Delete the files of a page; those that another page of this origin needs as well stay. @param {string} page @param {FileEntry[]} [files] */
export async function deleteStored(page, files = []) {
  const store = await openStore();
  await store.remove(listName(page));
  await dropUnneeded(store, files);
}

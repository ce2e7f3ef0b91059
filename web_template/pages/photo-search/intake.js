/**
 * @file Takes photos in, whichever way they come: picked, dropped, pasted, as files, folders or handles, or from the
 * sample album. All ways end in an `Arrival`, a list of files that nobody has opened yet.
 */

/** @import { Album, PhotoItem } from '../../shared/protocol.js' */

import { absolute } from '../../shared/config.js';

/**
 * Photos that came together. `root`: the folder they are from, with which their names begin; `complete`: it is all of
 * that folder; `handle`: gives the folder again on the next visit; `others`: files of another kind, left out;
 * `unreadable`: files that are there and that nobody gets.
 *
 * @typedef {{
 *   kind: 'folder' | 'files' | 'sample',
 *   root: string,
 *   complete: boolean,
 *   handle: FileSystemDirectoryHandle | null,
 *   photos: PhotoItem[],
 *   others: number,
 *   unreadable: string[],
 * }} Arrival
 */
/** A file, or none where the system does not hand it out. @typedef {{ path: string, file: File | null }} Found */

/** Some systems give files no type, above all for HEIC; the ending then decides. */
const PHOTO_ENDING = /\.(jpe?g|jfif|png|webp|gif|bmp|avif|heic|heif|hif|tiff?)$/i;
/** What systems put beside photos, and no visitor calls a photo. */
const NO_PHOTO = /(^|\/)(\.|__MACOSX\/|@eaDir\/|Thumbs\.db$)/i;
/** Folders that are read at the same time. */
const ABREAST = 8;

/** @param {string} path @param {{ type: string, name: string }} file */
const isPhoto = (path, { type, name }) => !NO_PHOTO.test(path) && (/^image\/(?!svg)/.test(type) || PHOTO_ENDING.test(name));

/** @param {File} file @param {string} [name] its path @returns {PhotoItem} */
function itemOf(file, name = file.name) {
  const zone_ms = new Date(file.lastModified).getTimezoneOffset() * 60_000;
  return {
    name,
    size: file.size,
    modified: Math.floor(file.lastModified / 1000),
    local_ms: file.lastModified - zone_ms,
    source: file,
  };
}

/** @param {Found[]} found @param {Omit<Arrival, 'photos' | 'others' | 'unreadable'>} about @returns {Arrival} */
function arrivalOf(found, about) {
  /** @type {Arrival} */
  const arrival = { ...about, photos: [], others: 0, unreadable: [] };
  for (const { path, file } of found) {
    if (file && isPhoto(path, file)) arrival.photos.push(itemOf(file, path));
    else if (!file && isPhoto(path, { type: '', name: path })) arrival.unreadable.push(path);
    else arrival.others += 1;
  }
  if (arrival.unreadable.length) arrival.complete = false; // what cannot be read is not gone
  return arrival;
}

/** One file of many: what is refused hinders no other. @param {string} path @param {() => Promise<File>} open @returns {Promise<Found>} */
const take = async (path, open) => ({ path, file: await open().catch(() => null) });

/**
 * Files that were picked or pasted. A folder's files know their path, with the folder first.
 *
 * @param {Iterable<File>} files
 * @returns {Arrival[]}
 */
export function fromFiles(files) {
  /** @type {Map<string, Found[]>} */
  const roots = new Map();
  for (const file of files) {
    const path = file.webkitRelativePath || file.name;
    const root = file.webkitRelativePath ? (path.split('/')[0] ?? '') : '';
    const found = roots.get(root);
    if (found) found.push({ path, file });
    else roots.set(root, [{ path, file }]);
  }
  return [...roots].map(([root, found]) =>
    arrivalOf(found, { kind: root ? 'folder' : 'files', root, complete: root !== '', handle: null }),
  );
}

/**
 * Read what was dropped, folders included.
 *
 * @param {DataTransfer} dropped
 * @returns {Promise<Arrival[]>}
 */
export async function fromDrop(dropped) {
  // Everything has to be taken at once: after the first await the list is empty.
  const items = [...dropped.items].filter(({ kind }) => kind === 'file');
  const files = [...dropped.files];
  const taken = items.map((item) => ({ entry: item.webkitGetAsEntry?.() ?? null, handle: handleOf(item) }));
  if (!taken.some(({ entry }) => entry?.isDirectory)) return fromFiles(files);
  /** @type {Arrival[]} */
  const arrivals = [];
  /** @type {Found[]} */
  const loose = [];
  for (const { entry, handle } of taken) {
    const opened = await handle;
    if (opened?.kind === 'directory') arrivals.push(await fromFolder(/** @type {FileSystemDirectoryHandle} */ (opened)));
    else if (entry?.isDirectory) arrivals.push(await fromEntry(/** @type {FileSystemDirectoryEntry} */ (entry)));
    else if (entry) loose.push(await take(entry.name, () => fileOf(/** @type {FileSystemFileEntry} */ (entry))));
  }
  return loose.length ? [...arrivals, arrivalOf(loose, { kind: 'files', root: '', complete: false, handle: null })] : arrivals;
}

/** Chromium gives a handle, which can be kept for the next visit. @param {DataTransferItem} item @returns {Promise<FileSystemHandle | null>} */
async function handleOf(item) {
  const { getAsFileSystemHandle } = /** @type {{ getAsFileSystemHandle?: () => Promise<FileSystemHandle | null> }} */ (/** @type {unknown} */ (item));
  return (await getAsFileSystemHandle?.call(item).catch(() => null)) ?? null;
}

/** @param {FileSystemFileEntry} entry @returns {Promise<File>} */
const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

/** @param {FileSystemDirectoryEntry} folder @returns {Promise<Arrival>} */
export async function fromEntry(folder) {
  /** @type {Found[]} */
  const found = [];
  let complete = true;
  /** @type {FileSystemDirectoryEntry[]} */
  const waiting = [folder];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const reader = next.createReader();
    try {
      for (;;) {
        /** @type {FileSystemEntry[]} */
        const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!entries.length) break; // Chromium gives at most 100 at a time, and an empty list at the end
        for (const entry of entries) {
          if (entry.isDirectory) waiting.push(/** @type {FileSystemDirectoryEntry} */ (entry));
          else found.push(await take(entry.fullPath.slice(1), () => fileOf(/** @type {FileSystemFileEntry} */ (entry))));
        }
      }
    } catch {
      complete = false; // what cannot be listed is not gone
    }
  }
  return arrivalOf(found, { kind: 'folder', root: folder.name, complete, handle: null });
}

/**
 * List a folder behind a handle.
 *
 * @param {FileSystemDirectoryHandle} handle
 * @returns {Promise<Arrival>}
 */
export async function fromFolder(handle) {
  /** @type {Found[]} */
  const found = [];
  let complete = true;
  /** @type {{ path: string, folder: FileSystemDirectoryHandle }[]} */
  const waiting = [{ path: handle.name, folder: handle }];
  const work = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const { path, folder } = next;
      try {
        for await (const [name, child] of folder.entries()) {
          if (child.kind === 'directory') waiting.push({ path: `${path}/${name}`, folder: /** @type {FileSystemDirectoryHandle} */ (child) });
          else found.push(await take(`${path}/${name}`, () => /** @type {FileSystemFileHandle} */ (child).getFile()));
        }
      } catch {
        complete = false;
      }
    }
  };
  while (waiting.length) await Promise.all(Array.from({ length: ABREAST }, work));
  found.sort((a, b) => (a.path < b.path ? -1 : 1));
  return arrivalOf(found, { kind: 'folder', root: handle.name, complete, handle });
}

/**
 * Whether a folder of an earlier visit may still be read. Only browsers that give handles for keeping have these calls.
 *
 * @param {FileSystemDirectoryHandle} handle @param {'queryPermission' | 'requestPermission'} how to look, or to ask the visitor
 */
export async function mayRead(handle, how) {
  const asked = /** @type {Record<string, undefined | ((options: object) => Promise<PermissionState>)>} */ (/** @type {unknown} */ (handle));
  return (await asked[how]?.call(handle, { mode: 'read' })) === 'granted';
}

/** Where the browser has a folder picker whose answer can be kept for the next visit. Frames of other sites have none. */
export const canPickFolder = () => 'showDirectoryPicker' in window && window.self === window.top;

/**
 * Let the visitor choose a folder.
 *
 * @returns {Promise<Arrival | null>} null: they chose none
 * @throws {DOMException} when the browser refuses to ask; the file input is then the way
 */
export async function pickFolder() {
  const ask = /** @type {{ showDirectoryPicker: (options: object) => Promise<FileSystemDirectoryHandle> }} */ (/** @type {unknown} */ (window));
  try {
    return await fromFolder(await ask.showDirectoryPicker({ id: 'photos', mode: 'read', startIn: 'pictures' }));
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return null;
    throw error;
  }
}

/**
 * List the sample album that came with the site.
 *
 * @param {string} url of album.json
 * @param {string} root what the album is called
 * @returns {Promise<Arrival>}
 */
export async function fromAlbum(url, root) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  /** @type {Album} */
  const { photos } = await response.json();
  const items = photos.map(({ name, path }) => ({ name: `${root}/${name}`, size: 0, modified: 0, local_ms: NaN, source: absolute(path) }));
  return { kind: 'sample', root, complete: true, handle: null, photos: items, others: 0, unreadable: [] };
}

/**
 * @file Takes photos in, whichever way they come: picked, dropped (folders too), or from the sample album.
 */

/** @import { Album } from '../../shared/protocol.js' */

import { absolute } from '../../shared/config.js';

/**
 * A photo that may be indexed. `key` tells two of them apart.
 *
 * @typedef {{ key: string, name: string, source: File | string }} Photo
 */

/** Some systems give files no type, above all for HEIC; the ending then decides. */
const PHOTO_ENDING = /\.(jpe?g|png|webp|gif|bmp|avif|heic|heif|tiff?)$/i;

/**
 * Keep what may be a photo.
 *
 * @param {Iterable<File>} files
 * @returns {{ photos: Photo[], others: number }} `others`: files of another kind, left out
 */
export function fromFiles(files) {
  const all = [...files];
  const photos = all
    .filter(({ type, name }) => (type ? type.startsWith('image/') : PHOTO_ENDING.test(name)))
    .map((file) => ({ key: `${file.name} ${file.size} ${file.lastModified}`, name: file.name, source: file }));
  return { photos, others: all.length - photos.length };
}

/**
 * Read what was dropped, folders included.
 *
 * @param {DataTransfer} dropped
 * @returns {Promise<File[]>}
 */
export async function filesOf(dropped) {
  // Entries have to be taken at once: after the first await the list is empty.
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry != null);
  if (!entries.length) return [...dropped.files];
  return (await Promise.all(entries.map(filesUnder))).flat();
}

/** @param {FileSystemEntry} entry @returns {Promise<File[]>} */
async function filesUnder(entry) {
  if (entry.isFile) {
    return [await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject))];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {File[]} */
  const files = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return files; // Chromium gives at most 100 at a time, and an empty list at the end
    files.push(...(await Promise.all(entries.map(filesUnder))).flat());
  }
}

/**
 * List the sample album that came with the site.
 *
 * @param {string} url of album.json
 * @returns {Promise<Photo[]>}
 */
export async function fromAlbum(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The sample album could not be read: the server answered ${response.status}.`);
  /** @type {Album} */
  const { photos } = await response.json();
  return photos.map(({ name, path }) => ({ key: `sample ${path}`, name, source: absolute(path) }));
}

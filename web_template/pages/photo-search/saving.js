/**
 * @file Hands files and words to the visitor: downloads, zip archives, the clipboard.
 */

import { absolute } from '../../shared/config.js';

/** @param {Blob} file @param {string} name */
export function download(file, name) {
  const url = URL.createObjectURL(file);
  const link = document.createElement('a');
  Object.assign(link, { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // it has been read by then
}

/**
 * Put files into a zip archive. They are photos: nothing is compressed.
 *
 * @param {string} runtime the folder of client-zip.js, relative to the page
 * @param {{ name: string, file: Blob, date: number }[]} files
 * @returns {Promise<Blob>}
 */
export async function zip(runtime, files) {
  const { downloadZip } = await import(absolute(`${runtime}client-zip.js`));
  const taken = new Set();
  const entries = files.map(({ name, file, date }) => {
    let free = name;
    for (let n = 2; taken.has(free); n++) free = name.replace(/(\.\w+)?$/, ` (${n})$1`);
    taken.add(free);
    return { name: free, input: file, lastModified: Number.isNaN(date) ? new Date() : new Date(date) };
  });
  return downloadZip(entries).blob();
}

/** @param {string} text */
export const copyText = (text) => navigator.clipboard.writeText(text);

/**
 * Copy a picture, as PNG because clipboards take nothing else.
 *
 * @param {HTMLImageElement} image
 */
export async function copyPicture(image) {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext('2d')?.drawImage(image, 0, 0);
  /** @type {Promise<Blob>} */
  const png = new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('the picture is empty'))), 'image/png');
  });
  // Safari wants the promise itself: what comes after an await is no answer to a click any more.
  await navigator.clipboard.write([new ClipboardItem({ 'image/png': png })]);
}

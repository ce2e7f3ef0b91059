/**
 * @file Worker only: opens a photo of any size without keeping it at that size, and makes its thumbnail.
 */

import { decodeHeic, isHeic } from './heic.js';

/**
 * Above this many pixels (or bytes, where the header does not say) a decoded photo may be more than a phone has memory
 * for, and is reduced while it is decoded. Its pixels are then near Python's, no longer the same: browsers reduce in
 * their own way, and round the other side up.
 */
const LARGE_PIXELS = 24_000_000;
const LARGE_BYTES = 12_000_000;
/** Width to which a large photo is reduced: enough for every model's input and for the thumbnail. */
const REDUCED_WIDTH = 1024;
const THUMBNAIL_SIDE = 360;
/** A side of a photo shown large where the browser itself cannot open the file. */
const RENDERED_SIDE = 2048;

/**
 * Decode a photo, upright, reduced if it is large. The caller closes the bitmap.
 *
 * Upright is createImageBitmap's default; saying so (`imageOrientation: 'from-image'`) makes some browsers throw.
 *
 * @param {Blob} file
 * @param {{ width: number, height: number }} least the model's input: neither side gets shorter than it needs
 * @param {number} pixels of the photo as its header says; 0: unknown
 * @param {string} heif_url of libheif.mjs
 * @returns {Promise<ImageBitmap>}
 * @throws {Error} in words for the visitor
 */
export async function decodePhoto(file, least, pixels, heif_url) {
  if (!file.size) throw new Error('the file is empty');
  try {
    if (pixels ? pixels <= LARGE_PIXELS : file.size <= LARGE_BYTES) return await createImageBitmap(file);
    const reduced = await createImageBitmap(file, reduceTo({ resizeWidth: REDUCED_WIDTH }));
    if (reduced.height >= least.height) return reduced;
    reduced.close(); // a very wide panorama: its height is what counts
    return await createImageBitmap(file, reduceTo({ resizeHeight: Math.max(least.height, THUMBNAIL_SIDE) }));
  } catch (error) {
    if (await isHeic(file)) return decodeHeic(file, heif_url);
    throw new Error('this browser cannot read it', { cause: error });
  }
}

/** @param {ImageBitmapOptions} side @returns {ImageBitmapOptions} */
const reduceTo = (side) => ({ ...side, resizeQuality: 'high' });

/** A small JPEG for the page to show. @param {ImageBitmap} bitmap */
export const makeThumbnail = (bitmap) =>
  paint(bitmap, THUMBNAIL_SIDE / Math.min(bitmap.width, bitmap.height), THUMBNAIL_SIDE * 4, 0.82);

/** A large JPEG of what the browser cannot show itself. @param {ImageBitmap} bitmap */
export const makePicture = (bitmap) =>
  paint(bitmap, RENDERED_SIDE / Math.max(bitmap.width, bitmap.height), RENDERED_SIDE, 0.9);

/** @param {ImageBitmap} bitmap @param {number} scale @param {number} most @param {number} quality */
function paint(bitmap, scale, most, quality) {
  const by = Math.min(1, scale);
  const width = Math.max(1, Math.min(Math.round(bitmap.width * by), most));
  const height = Math.max(1, Math.min(Math.round(bitmap.height * by), most));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('This browser gives a worker no 2D canvas.');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas.convertToBlob({ type: 'image/jpeg', quality });
}

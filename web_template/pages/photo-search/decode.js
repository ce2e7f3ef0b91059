/**
 * @file Worker only: opens a photo of any size without keeping it at that size.
 */

/**
 * Above this many bytes a decoded photo may be more than a phone has memory for, and is reduced while it is decoded. Its
 * pixels are then near Python's, no longer the same: browsers reduce in their own way, and round the other side up.
 */
const LARGE_BYTES = 12_000_000;
/** Width to which a large photo is reduced: enough for every model's input and for the thumbnail. */
const REDUCED_WIDTH = 1024;
const THUMBNAIL_SIDE = 360;

/**
 * Decode a photo, upright, reduced if it is large. The caller closes the bitmap.
 *
 * Upright is createImageBitmap's default; saying so (`imageOrientation: 'from-image'`) makes some browsers throw.
 *
 * @param {Blob | string} source a file, or an address on this origin
 * @param {{ width: number, height: number }} least the model's input: neither side gets shorter than it needs
 * @returns {Promise<ImageBitmap>}
 * @throws {Error} in words for the visitor
 */
export async function decodePhoto(source, least) {
  const file = typeof source === 'string' ? await fetchPhoto(source) : source;
  try {
    if (file.size <= LARGE_BYTES) return await createImageBitmap(file);
    const reduced = await createImageBitmap(file, reduceTo({ resizeWidth: REDUCED_WIDTH }));
    if (reduced.height >= least.height) return reduced;
    reduced.close(); // a very wide panorama: its height is what counts
    return await createImageBitmap(file, reduceTo({ resizeHeight: Math.max(least.height, THUMBNAIL_SIDE) }));
  } catch (error) {
    const kind = file.type ? `a ${file.type.replace('image/', '').toUpperCase()} file` : 'a file of unknown kind';
    throw new Error(`this browser cannot read it (${kind}, ${(file.size / 1e6).toFixed(1)} MB)`, { cause: error });
  }
}

/** @param {ImageBitmapOptions} side @returns {ImageBitmapOptions} */
const reduceTo = (side) => ({ ...side, resizeQuality: 'high' });

/** @param {string} url */
async function fetchPhoto(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.blob();
}

/**
 * A small JPEG for the page to show.
 *
 * @param {ImageBitmap} bitmap
 */
export async function makeThumbnail(bitmap) {
  const scale = Math.min(1, THUMBNAIL_SIDE / Math.min(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.min(Math.round(bitmap.width * scale), THUMBNAIL_SIDE * 4));
  const height = Math.max(1, Math.min(Math.round(bitmap.height * scale), THUMBNAIL_SIDE * 4));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('This browser gives a worker no 2D canvas.');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas.convertToBlob({ type: 'image/jpeg', quality: 0.82 });
}

/**
 * @file Worker only: HEIC and HEIF photos in browsers that cannot decode them (all but Safari). The decoder is 2 MB and
 * loaded with the first such photo.
 *
 * libheif turns and mirrors the picture as the file says, so that nothing is left to do for the EXIF orientation.
 */

/** @typedef {{ get_width: () => number, get_height: () => number, display: (to: { data: Uint8ClampedArray, width: number, height: number }, done: (filled: unknown) => void) => void, free?: () => void }} HeifImage */
/** @typedef {{ HeifDecoder: new () => { decode: (bytes: Uint8Array) => HeifImage[] } }} Heif */

/** @type {Promise<Heif> | null} */
let library = null;

/** @param {string} url of libheif.mjs @returns {Promise<Heif>} */
async function openLibrary(url) {
  const { default: make } = await import(url);
  const made = await make();
  await made.ready;
  return made;
}

/** Brands of ISO files whose first item is an HEVC picture. */
const BRANDS = new Set(['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'mif1', 'msf1']);

/** Whether the first bytes are those of such a file; names and types lie too often. @param {Blob} file */
export async function isHeic(file) {
  const head = new Uint8Array(await file.slice(0, 32).arrayBuffer());
  const text = String.fromCharCode(...head);
  return text.slice(4, 8) === 'ftyp' && BRANDS.has(text.slice(8, 12)) && !text.includes('avif');
}

/**
 * Decode the first picture of the file.
 *
 * @param {Blob} file
 * @param {string} url of libheif.mjs
 * @returns {Promise<ImageBitmap>} the caller closes it
 */
export async function decodeHeic(file, url) {
  library ??= openLibrary(url);
  const heif = await library.catch((error) => {
    library = null;
    throw new Error('the decoder of this format could not be loaded: try again with a network', { cause: error });
  });
  const images = new heif.HeifDecoder().decode(new Uint8Array(await file.arrayBuffer()));
  const [image] = images;
  if (!image) throw new Error('there is no picture in it');
  try {
    const [width, height] = [image.get_width(), image.get_height()];
    const pixels = new ImageData(width, height);
    await new Promise((resolve, reject) => {
      image.display(pixels, (filled) => (filled ? resolve(filled) : reject(new Error('its picture is damaged'))));
    });
    return await createImageBitmap(pixels);
  } finally {
    for (const each of images) each.free?.();
  }
}

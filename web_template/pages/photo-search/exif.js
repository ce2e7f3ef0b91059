/**
 * @file Worker only: when and where a photo was taken, and how large it is, from its first bytes.
 *
 * The parser (exifreader) is loaded with the first photo. A file without metadata, or with broken metadata, is a photo
 * like any other: its date is then the file's.
 */

/** Metadata stands at the beginning; in HEIC a little further in, behind its boxes. */
const HEAD_BYTES = 256 * 1024;

/**
 * `date`: ms of the wall clock where it was taken, read as if it were UTC; `pixels`: 0 where the header does not say.
 *
 * @typedef {{ date: number | null, place: { lat: number, lon: number } | null, pixels: number }} Metadata
 */

/** @typedef {{ value?: unknown, description?: string }} Tag */
/** @typedef {{ load: (data: ArrayBuffer, options: { expanded: true, async: false }) => Record<string, Record<string, Tag | number> | undefined> }} ExifReader */

/** @type {Promise<ExifReader> | null} */
let reader = null;

/** @param {string} url of exif-reader.js, a script that leaves its one name in the global scope */
async function openReader(url) {
  await import(url);
  return /** @type {{ ExifReader: ExifReader }} */ (/** @type {unknown} */ (globalThis)).ExifReader;
}

/**
 * Read the metadata of a photo.
 *
 * @param {Blob} file
 * @param {string} url of exif-reader.js
 * @returns {Promise<Metadata>}
 */
export async function readMetadata(file, url) {
  reader ??= openReader(url);
  const library = await reader.catch((error) => {
    reader = null; // it may be had next time; a photo that is taken in without it would have no date for ever
    throw new Error('what reads its date could not be loaded: try again with a network', { cause: error });
  });
  const head = await file.slice(0, HEAD_BYTES).arrayBuffer();
  /** @type {ReturnType<ExifReader['load']>} */
  let tags;
  try {
    tags = library.load(head, { expanded: true, async: false });
  } catch {
    return { date: null, place: null, pixels: 0 }; // “No Exif data”, or it is no picture, which decoding will tell
  }
  return { date: dateOf(tags), place: placeOf(tags), pixels: pixelsOf(tags) };
}

/** @param {ReturnType<ExifReader['load']>} tags */
function dateOf({ exif }) {
  for (const name of ['DateTimeOriginal', 'DateTimeDigitized', 'DateTime']) {
    const tag = exif?.[name];
    const text = typeof tag === 'object' ? (tag.description ?? '') : '';
    const found = /^(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?/.exec(text);
    if (!found) continue;
    const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found.slice(1).map((part) => Number(part ?? 0));
    if (year < 1826 || month < 1 || month > 12 || day < 1 || day > 31) continue; // cameras without a clock write zeros
    return Date.UTC(year, month - 1, day, hour, minute, second);
  }
  return null;
}

/** @param {ReturnType<ExifReader['load']>} tags */
function placeOf({ gps }) {
  const [lat, lon] = [gps?.Latitude, gps?.Longitude];
  if (typeof lat !== 'number' || typeof lon !== 'number' || !Number.isFinite(lat + lon)) return null;
  if (Math.abs(lat) > 90 || Math.abs(lon) > 180 || (lat === 0 && lon === 0)) return null;
  return { lat, lon };
}

/** @param {ReturnType<ExifReader['load']>} tags */
function pixelsOf({ file, pngFile, gif, exif }) {
  const number = (/** @type {Tag | number | undefined} */ tag) => Number(typeof tag === 'object' ? (tag.value ?? 0) : (tag ?? 0)) || 0;
  for (const group of [file, pngFile, gif]) {
    const pixels = number(group?.['Image Width']) * number(group?.['Image Height']);
    if (pixels) return pixels;
  }
  return number(exif?.PixelXDimension) * number(exif?.PixelYDimension);
}

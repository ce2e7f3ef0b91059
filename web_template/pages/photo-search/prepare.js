/**
 * @file A worker of the model's worker: opens photos while the model runs on the ones before.
 *
 * Decoding, reading the date, resizing as Python does, the thumbnail: all of it here, so that the model never waits for
 * it. What leaves this worker of a photo is the model's small input, a thumbnail and a few numbers.
 */

/** @import { PrepareCalls } from '../../shared/protocol.js' */

import { perceptualHash } from '../../shared/perceptual.js';
import { readPicture } from '../../shared/picture.js';
import { serve } from '../../shared/serve.js';
import { decodePhoto, makePicture, makeThumbnail } from './decode.js';
import { readMetadata } from './exif.js';
import { Turns } from './turns.js';

/** Pixels that are open at a time, at four bytes and mostly twice: as decoded, and as the canvas that they are read from. */
const OPEN_PIXELS = 24_000_000;
/** Where the header does not say how many there are: a photo has some four for each of its bytes. */
const PIXELS_PER_BYTE = 4;

/** Stands in for transformers.js's class of the same shape, which is not loaded here. */
class Picture {
  /** @param {Uint8ClampedArray} data @param {number} width @param {number} height @param {number} channels */
  constructor(data, width, height, channels) {
    Object.assign(this, { width, height, channels });
    this.data = data;
  }
}
const RawImage = /** @type {typeof import('@huggingface/transformers').RawImage} */ (/** @type {unknown} */ (Picture));

const turns = new Turns(OPEN_PIXELS);

/** @param {import('../../shared/protocol.js').PhotoSource} source */
async function openSource(source) {
  if (typeof source === 'string') {
    const response = await fetch(source);
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return response.blob();
  }
  return 'getFile' in source ? source.getFile() : source;
}

serve(/** @type {{ [T in keyof PrepareCalls]: import('../../shared/serve.js').Handler<PrepareCalls[T]> }} */ ({
  async load() {
    return { load_ms: 0 };
  },

  async prepare({ source, image, libraries_url }) {
    const file = await openSource(source);
    if (!file.size) throw new Error('the file is empty');
    const { date, place, pixels } = await readMetadata(file, new URL('exif-reader.js', libraries_url).href);
    const heif = new URL('libheif.mjs', libraries_url).href;
    return turns.take(pixels || file.size * PIXELS_PER_BYTE, async () => {
      const bitmap = await decodePhoto(file, image, pixels, heif);
      try {
        const { data } = readPicture(bitmap, image, RawImage);
        const hash = perceptualHash(/** @type {Uint8ClampedArray} */ (data), image.width, image.height);
        const thumbnail = new Uint8Array(await (await makeThumbnail(bitmap)).arrayBuffer());
        return { data: /** @type {Uint8ClampedArray<ArrayBuffer>} */ (data), hash, thumbnail, date, place, size: file.size };
      } finally {
        bitmap.close();
      }
    });
  },

  async render({ source, libraries_url }) {
    const file = await openSource(source);
    return turns.take(OPEN_PIXELS, async () => {
      const bitmap = await decodePhoto(file, { width: 1, height: 1 }, 0, new URL('libheif.mjs', libraries_url).href);
      try {
        return { picture: await makePicture(bitmap) };
      } finally {
        bitmap.close();
      }
    });
  },
}));

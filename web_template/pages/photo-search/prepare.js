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

/** More pixels than this are opened one photo at a time: each may be hundreds of megabytes while it is decoded. */
const HUGE_PIXELS = 24_000_000;

/** Stands in for transformers.js's class of the same shape, which is not loaded here. */
class Picture {
  /** @param {Uint8ClampedArray} data @param {number} width @param {number} height @param {number} channels */
  constructor(data, width, height, channels) {
    Object.assign(this, { width, height, channels });
    this.data = data;
  }
}
const RawImage = /** @type {typeof import('@huggingface/transformers').RawImage} */ (/** @type {unknown} */ (Picture));

/** @type {Promise<unknown>} */
let huge = Promise.resolve();

/** @template T @param {boolean} alone @param {() => Promise<T>} work @returns {Promise<T>} */
function takeTurn(alone, work) {
  if (!alone) return work();
  const turn = huge.then(work, work);
  huge = turn;
  return turn;
}

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
    return takeTurn(pixels > HUGE_PIXELS, async () => {
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
    const bitmap = await decodePhoto(file, { width: 1, height: 1 }, 0, new URL('libheif.mjs', libraries_url).href);
    try {
      return { picture: await makePicture(bitmap) };
    } finally {
      bitmap.close();
    }
  },
}));

/**
 * @file Worker only: takes photos through decoding and the model, with the next ones decoded while the model runs.
 *
 * At most `AHEAD` photos beyond the batch are under way at any time, whatever the size of the album; how many of them
 * are open at their full size is for prepare.js to say, so that memory stays bounded.
 */

/** @import { PhotoItem, PrepareCalls, Prepared } from '../../shared/protocol.js' */
/** @import { Model } from './model.js' */

import { Bridge, isAbort } from '../../shared/bridge.js';
import { badName } from '../../shared/index-names.js';

const AHEAD = 4;
/** A photo on which the decoder hangs or dies must not hold up the album. */
const PATIENCE_MS = 120_000;

/** Opens photos in workers of its own; one that dies is replaced, and the photo it had counts as unreadable. */
export class Decoder {
  /** @type {Bridge<PrepareCalls> | null} */
  #bridge = null;
  #libraries_url;

  /** @param {string} libraries_url the folder of exif-reader.js and libheif.mjs */
  constructor(libraries_url) {
    this.#libraries_url = libraries_url;
  }

  /**
   * @template {'prepare' | 'render'} T
   * @param {T} type
   * @param {Omit<PrepareCalls[T]['payload'], 'libraries_url'>} payload
   * @returns {Promise<PrepareCalls[T]['result']>}
   */
  async ask(type, payload) {
    const bridge = (this.#bridge ??= new Bridge(new URL('./prepare.js', import.meta.url)));
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), PATIENCE_MS);
    const gaveUp = new Promise((_, reject) => {
      late.signal.onabort = () => reject(new Error('it took too long to open'));
    });
    try {
      const full = /** @type {PrepareCalls[T]['payload']} */ ({ ...payload, libraries_url: this.#libraries_url });
      return await /** @type {Promise<PrepareCalls[T]['result']>} */ (Promise.race([bridge.request(type, full), gaveUp]));
    } catch (error) {
      const dead = late.signal.aborted || isAbort(error) || (error instanceof Error && error.name === 'WorkerError');
      if (dead && this.#bridge === bridge) this.#restart();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #restart() {
    this.#bridge?.terminate();
    this.#bridge = null;
  }
}

/**
 * One photo that is through: with its vector, or with the reason why it could not be read.
 *
 * @typedef {{ photo: PhotoItem, prepared: Prepared, vector: Float32Array } | { photo: PhotoItem, why: string }} Outcome
 */

/**
 * Take photos through the model, in the order in which they come.
 *
 * @param {PhotoItem[]} photos
 * @param {{ model: Model, decoder: Decoder, signal: AbortSignal }} means
 * @returns {AsyncGenerator<Outcome[]>} batch by batch
 */
export async function* runPhotos(photos, { model, decoder, signal }) {
  const { image } = model.manifest;
  /** @param {PhotoItem} photo */
  const open = async (photo) => {
    if (badName(photo.name)) return { photo, why: 'its name has characters that cannot be shown, or is too long' };
    try {
      return { photo, prepared: await decoder.ask('prepare', { source: photo.source, image }) };
    } catch (error) {
      return { photo, why: error instanceof Error ? error.message : String(error) };
    }
  };
  /** @type {ReturnType<typeof open>[]} */
  const opening = [];
  let next = 0;
  const fill = () => {
    while (next < photos.length && opening.length < model.batch + AHEAD) opening.push(open(/** @type {PhotoItem} */ (photos[next++])));
  };
  fill();
  while (opening.length) {
    signal.throwIfAborted();
    const opened = await Promise.all(opening.splice(0, model.batch));
    fill(); // these are decoded while the model runs
    signal.throwIfAborted();
    /** @type {Outcome[]} */
    const outcomes = [];
    /** @type {{ photo: PhotoItem, prepared: Prepared }[]} */
    const readable = [];
    for (const one of opened) {
      if (one.prepared) readable.push(one);
      else outcomes.push({ photo: one.photo, why: one.why ?? '' });
    }
    if (readable.length) {
      const pictures = readable.map(({ prepared }) => new model.RawImage(prepared.data, image.width, image.height, 3));
      const vectors = await model.embedPictures(pictures);
      readable.forEach((one, row) => outcomes.push({ ...one, vector: /** @type {Float32Array} */ (vectors[row]) }));
    }
    yield outcomes;
  }
}

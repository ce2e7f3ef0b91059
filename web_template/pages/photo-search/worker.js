/**
 * @file Photo search, model only: photos become unit vectors, a sentence becomes one, the nearest win. No DOM.
 *
 * The index lives in this worker's memory and nowhere else. Album-sized collections are compared one by one: 10,000
 * photos of 512 numbers are 20 MB and a few milliseconds.
 */

/** @import { Hit, LoadJob, PhotoCalls, PhotoItem } from '../../shared/protocol.js' */
/** @import { Options, Transformers } from '../../shared/runtime.js' */

import { blankPicture, keepSize, readPicture } from '../../shared/picture.js';
import { withRuntime } from '../../shared/runtime.js';
import { serve } from '../../shared/serve.js';
import { decodePhoto, makeThumbnail } from './decode.js';

/**
 * Photos in one run of the model. On WASM more than one gains nothing, and q8 graphs take the range of their
 * activations over the whole batch: a photo's vector would depend on its neighbours.
 */
const BATCH = { webgpu: 8, wasm: 1 };

/** @type {Awaited<ReturnType<typeof loadModel>> | null} */
let loaded = null;
/** @type {{ id: number, vector: Float32Array }[]} */
const index = [];

/** @param {LoadJob} job @param {Transformers} transformers @param {Options} options */
async function loadModel(job, transformers, options) {
  const { AutoProcessor, AutoTokenizer, CLIPTextModelWithProjection, CLIPVisionModelWithProjection } = transformers;
  const { dtype, ...rest } = options;
  const name = job.model_name;
  const processor = await AutoProcessor.from_pretrained(name);
  keepSize(processor);
  return {
    transformers,
    processor,
    tokenizer: await AutoTokenizer.from_pretrained(name),
    textModel: await CLIPTextModelWithProjection.from_pretrained(name, { ...rest, dtype: dtype.text_model }),
    visionModel: await CLIPVisionModelWithProjection.from_pretrained(name, { ...rest, dtype: dtype.vision_model }),
    manifest: job.manifest,
    batch: BATCH[job.plan.device],
  };
}

/**
 * Split a [rows, width] tensor into rows of length 1.
 *
 * @param {import('@huggingface/transformers').Tensor} embeds
 * @returns {Float32Array[]}
 * @throws {Error} when the numbers are no directions: a device that computes wrongly must not rank photos
 */
function unitRows(embeds) {
  const [rows = 0, width = 0] = embeds.dims;
  const data = Float32Array.from(/** @type {Float32Array} */ (embeds.data));
  return Array.from({ length: rows }, (_, row) => {
    const vector = data.subarray(row * width, (row + 1) * width);
    const length = Math.hypot(...vector);
    if (!Number.isFinite(length) || length === 0) throw new Error('The model returned numbers that are no embedding.');
    return vector.map((value) => value / length);
  });
}

/** @param {NonNullable<typeof loaded>} model @param {import('@huggingface/transformers').RawImage[]} pictures */
async function embedPictures({ processor, visionModel }, pictures) {
  const { pixel_values } = await processor(pictures);
  const { image_embeds } = await visionModel({ pixel_values });
  return unitRows(image_embeds);
}

/** @param {NonNullable<typeof loaded>} model @param {string} text */
async function embedText({ tokenizer, textModel, manifest }, text) {
  const inputs = tokenizer([text], { padding: 'max_length', max_length: manifest.context.text_tokens, truncation: true });
  const { text_embeds } = await textModel(inputs);
  const [vector] = unitRows(text_embeds);
  if (!vector) throw new Error('The model returned no embedding for the text.');
  return vector;
}

/** @param {Float32Array} a @param {Float32Array} b */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += /** @type {number} */ (a[i]) * /** @type {number} */ (b[i]);
  return sum;
}

/**
 * Decode one photo: the picture for the model and the thumbnail. The decoded photo is gone when this returns.
 *
 * @param {NonNullable<typeof loaded>} model
 * @param {PhotoItem} photo
 */
async function openPhoto({ manifest, transformers }, { id, source }) {
  const bitmap = await decodePhoto(source, manifest.image);
  try {
    const picture = readPicture(bitmap, manifest.image, transformers.RawImage);
    return { id, picture, thumbnail: await makeThumbnail(bitmap), width: bitmap.width, height: bitmap.height };
  } finally {
    bitmap.close();
  }
}

serve(/** @type {{ [T in keyof PhotoCalls]: import('../../shared/serve.js').Handler<PhotoCalls[T]> }} */ ({
  async load(job, { emit }) {
    const started = performance.now();
    const model = await withRuntime(job, emit, (transformers, options) => loadModel(job, transformers, options));
    // The first runs compile shaders, and are where a device that cannot run the model says so.
    emit({ kind: 'phase', phase: 'warm-up' });
    const blank = blankPicture(job.manifest.image, model.transformers.RawImage);
    await embedPictures(model, Array(model.batch).fill(blank));
    await embedText(model, 'a photo');
    loaded = model;
    return { load_ms: performance.now() - started };
  },

  async index({ photos }, { signal, emit }) {
    const model = loaded;
    if (!model) throw new Error('The model is not loaded.');
    const started = performance.now();
    let [indexed, unreadable] = [0, 0];
    for (let next = 0; next < photos.length; next += model.batch) {
      signal.throwIfAborted();
      /** @type {Awaited<ReturnType<typeof openPhoto>>[]} */
      const batch = [];
      for (const photo of photos.slice(next, next + model.batch)) { // one after the other: only one is ever decoded
        try {
          batch.push(await openPhoto(model, photo));
        } catch (error) {
          unreadable += 1;
          emit({ kind: 'unreadable', id: photo.id, why: error instanceof Error ? error.message : String(error) });
        }
      }
      if (!batch.length) continue;
      const vectors = await embedPictures(model, batch.map(({ picture }) => picture));
      batch.forEach(({ id, thumbnail, width, height }, row) => {
        index.push({ id, vector: /** @type {Float32Array} */ (vectors[row]) });
        emit({ kind: 'indexed', id, thumbnail, width, height });
      });
      indexed += batch.length;
    }
    return { indexed, unreadable, total_ms: performance.now() - started };
  },

  async search({ query, limit }, { signal }) {
    if (!loaded) throw new Error('The model is not loaded.');
    const wanted = await embedText(loaded, query);
    signal.throwIfAborted();
    /** @type {Hit[]} */
    const hits = index.map(({ id, vector }) => ({ id, score: dot(wanted, vector) }));
    hits.sort((a, b) => b.score - a.score);
    return { hits: hits.slice(0, limit), searched: index.length };
  },
}));

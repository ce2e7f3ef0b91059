/**
 * @file Worker only: the model of the search. Pictures and sentences become unit vectors of the same space.
 */

/** @import { LoadJob, Manifest, RgbPicture } from '../../shared/protocol.js' */
/** @import { Options, Transformers } from '../../shared/runtime.js' */
/**
 * What makes vectors: graphs in this worker, or a server (remote.js).
 *
 * @typedef {{
 *   manifest: Manifest,
 *   RawImage: typeof import('@huggingface/transformers').RawImage,
 *   batch: number,
 *   sentences: number,
 *   words_only?: boolean,
 *   texts: Map<string, Float32Array>,
 *   embedPictures: (pictures: RgbPicture[]) => Promise<Float32Array[]>,
 *   embedTexts: (texts: string[]) => Promise<Float32Array[]>,
 * }} Model `batch` photos and `sentences` at most are handed over at a time; `texts` are those of the last sentences;
 *   `words_only`: what makes vectors of pictures is fetched with the first picture
 */

import { blankPicture, keepSize } from '../../shared/picture.js';

/**
 * Photos in one run of the model. On WASM more than one gains nothing, and q8 graphs take the range of their
 * activations over the whole batch: a photo's vector would depend on its neighbours.
 */
const BATCH = { webgpu: 8, wasm: 1 };
/** Sentences whose vectors are kept: who refines a search comes back to the same words. */
const TEXTS_KEPT = 200;

/** @param {LoadJob} job @param {Transformers} transformers @param {Options} options @returns {Promise<Model>} */
export async function loadModel(job, transformers, options) {
  const { AutoProcessor, AutoTokenizer, CLIPTextModelWithProjection, CLIPVisionModelWithProjection } = transformers;
  const { dtype, ...rest } = options;
  const name = job.model_name;
  const openVision = () => CLIPVisionModelWithProjection.from_pretrained(name, { ...rest, dtype: dtype.vision_model });
  const late = job.manifest.later?.includes('vision_model') === true;
  /** @type {ReturnType<typeof openVision> | null} */
  let visionModel = late ? null : openVision();
  const [processor, tokenizer, textModel] = await Promise.all([
    AutoProcessor.from_pretrained(name),
    AutoTokenizer.from_pretrained(name),
    CLIPTextModelWithProjection.from_pretrained(name, { ...rest, dtype: dtype.text_model }),
    visionModel,
  ]);
  keepSize(processor);
  return {
    RawImage: transformers.RawImage,
    manifest: job.manifest,
    batch: BATCH[job.plan.device],
    words_only: late,
    sentences: 1, // a search may go first
    texts: new Map(),
    async embedPictures(pictures) {
      const { pixel_values } = await processor(pictures);
      visionModel ??= openVision();
      const { image_embeds } = await (await visionModel)({ pixel_values });
      return unitRows(image_embeds);
    },
    async embedTexts(texts) {
      const inputs = tokenizer(texts, { padding: 'max_length', max_length: job.manifest.context.text_tokens, truncation: true });
      const { text_embeds } = await textModel(inputs);
      return unitRows(text_embeds);
    },
  };
}

/** Run what is loaded once: shaders are compiled, and a device that cannot run the model says so. @param {Model} model */
export async function warmUp(model) {
  const blank = blankPicture(model.manifest.image, model.RawImage);
  if (!model.words_only) await model.embedPictures(Array(model.batch).fill(blank));
  const vector = await embedText(model, 'a photo');
  return vector.length;
}

/**
 * The vectors of one model share a space; those of two models must never be compared.
 *
 * @param {Manifest} manifest
 * @returns {string} 64 hex digits
 */
export function spaceOf(manifest) {
  const tower = Object.values(manifest.components.vision_model ?? {})[0];
  const space = manifest.vector_space ?? tower?.sha256;
  if (!space) throw new Error('The manifest of this model does not say what its vectors belong to.');
  return space;
}

/**
 * How the weights are rounded that make vectors of pictures, as builder/album/space.py says it: vectors of two roundings
 * lie a little apart. q4 and q4f16 are one.
 *
 * @param {Manifest} manifest
 * @param {string} dtype
 */
export function roundingOf(manifest, dtype) {
  const recipe = manifest.components.vision_model?.[dtype]?.recipe ?? dtype;
  return recipe === 'fp16' ? 'fp32' : recipe.replace('q4f16', 'q4');
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

/** @param {Model} model @param {string} text */
export async function embedText({ embedTexts, texts }, text) {
  const known = texts.get(text);
  if (known) return known;
  const [vector] = await embedTexts([text]);
  if (!vector) throw new Error('The model returned no embedding for the text.');
  if (texts.size >= TEXTS_KEPT) texts.delete(/** @type {string} */ (texts.keys().next().value));
  texts.set(text, vector);
  return vector;
}

/**
 * @file What a page's worker does to a picture before the model gets it, with the page's own code and the real
 * transformers.js, laid open to test_preprocess.py.
 */

import { AutoProcessor, RawImage, env } from './runtime/transformers.min.js';
import { keepSize, readPicture } from './shared/picture.js';

env.allowLocalModels = true;
env.allowRemoteModels = false;
env.localModelPath = '/models/';
env.useBrowserCache = false;
env.useWasmCache = false;
const ort = new URL('./runtime/ort-wasm-simd-threaded', location.href).href;
env.backends.onnx.wasm.wasmPaths = { mjs: `${ort}.mjs`, wasm: `${ort}.wasm` };

/** What the page would get from the canvas alone: the same part of the picture, resized as well as a canvas can. */
function drawPicture(picture, { width, height, fit }) {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  const choose = { crop: Math.max, letterbox: Math.min }[fit];
  const scale = choose?.(width / picture.width, height / picture.height);
  const [w, h] = scale ? [picture.width * scale, picture.height * scale] : [width, height];
  context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
  return new RawImage(context.getImageData(0, 0, width, height).data, width, height, 4).rgb();
}

/** Send numbers as text. */
function encode(numbers) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(',')[1]);
    reader.readAsDataURL(new Blob([numbers]));
  });
}

/** @returns {Promise<{ dims: number[], data: string, read_ms: number }>} pixel_values of one picture, in base64 */
globalThis.preprocess = async ({ model, picture, facts, canvas = false }) => {
  const processor = await AutoProcessor.from_pretrained(model);
  keepSize(processor);
  const bitmap = await createImageBitmap(await (await fetch(picture)).blob());
  const started = performance.now();
  const image = canvas ? drawPicture(bitmap, facts) : readPicture(bitmap, facts, RawImage);
  const read_ms = performance.now() - started;
  const { pixel_values } = await processor(image, { do_image_splitting: false });
  return { dims: pixel_values.dims, data: await encode(pixel_values.data), read_ms };
};

/**
 * @file Worker: an image encoder on WASM and nothing else. One ready tensor goes in again and again; photos per second
 * come out. Asked with {model, dtype, size, photos}.
 */

import { CLIPVisionModelWithProjection, Tensor, env } from './runtime/transformers.min.js';

Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: new URL('./models/', location.href).href });
Object.assign(env, { useBrowserCache: false, useWasmCache: false });
const runtime = (ending) => new URL(`./runtime/ort-wasm-simd-threaded.${ending}`, location.href).href;
env.backends.onnx.wasm.wasmPaths = { mjs: runtime('mjs'), wasm: runtime('wasm') }; // the build that the page takes

self.onmessage = async ({ data: { model: name, dtype, size, photos } }) => {
  try {
    const model = await CLIPVisionModelWithProjection.from_pretrained(name, { dtype, device: 'wasm' });
    const values = Float32Array.from({ length: 3 * size * size }, (_, at) => (at % 255) / 255);
    const pixel_values = new Tensor('float32', values, [1, 3, size, size]);
    await model({ pixel_values });
    const started = performance.now();
    for (let photo = 0; photo < photos; photo++) await model({ pixel_values });
    self.postMessage({ rate: photos / ((performance.now() - started) / 1e3) });
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};

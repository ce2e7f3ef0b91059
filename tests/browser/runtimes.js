/**
 * @file Runs one ONNX file in onnxruntime-web, with the very runtime that the pages load, laid open to test_runtimes.py.
 * A page has one build of the runtime for its whole life, and so one device.
 */

import * as ort from './ort.webgpu.min.mjs';
import { watchDevices } from './shared/runtime.js';

const TYPES = {
  float32: Float32Array,
  float16: globalThis.Float16Array ?? Uint16Array,
  int64: BigInt64Array,
  bool: Uint8Array,
};

/** @param {string} text base64 */
const decode = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;

/** Send numbers as text. */
function encode(numbers) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(',')[1]);
    reader.readAsDataURL(new Blob([numbers]));
  });
}

/** Name the build before the first session. @param {string} build '', '.asyncify' or '.jspi' */
globalThis.useBuild = (build) => {
  const base = new URL(`runtime/ort-wasm-simd-threaded${build}`, location.href).href;
  ort.env.wasm.wasmPaths = { mjs: `${base}.mjs`, wasm: `${base}.wasm` };
  ort.env.wasm.numThreads = 1;
};

globalThis.hasHalf = async () => {
  const adapter = await navigator.gpu?.requestAdapter();
  return adapter?.features.has('shader-f16') ?? false;
};

/** @returns {Promise<Record<string, { type: string, dims: number[], data: string }>>} */
globalThis.runGraph = async ({ url, device, feeds }) => {
  const session = await ort.InferenceSession.create(url, { executionProviders: [device] });
  try {
    const tensors = Object.fromEntries(
      Object.entries(feeds).map(([name, { type, dims, data }]) => [
        name,
        new ort.Tensor(type, new TYPES[type](decode(data)), dims),
      ]),
    );
    const outputs = await session.run(tensors);
    const entries = Object.entries(outputs).map(async ([name, { type, dims, data }]) => [
      name,
      { type, dims, data: await encode(data) },
    ]);
    return Object.fromEntries(await Promise.all(entries));
  } finally {
    await session.release();
  }
};

globalThis.watchDevices = watchDevices;

document.documentElement.dataset.ready = '';

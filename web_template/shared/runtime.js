/**
 * @file Worker only: loads the pinned transformers.js and onnxruntime from this site and points them at this site.
 *
 * No other origin is ever asked for anything: transformers.js's own defaults (its hub, a CDN for the WebAssembly) are
 * all replaced before the first session is made. One worker has one build of onnxruntime for its whole life, which is
 * why falling back from WebGPU to WASM needs a new worker.
 */

/** @import { LoadEvent, LoadJob } from './protocol.js' */
/** @typedef {typeof import('@huggingface/transformers')} Transformers */
/** @typedef {ReturnType<typeof modelOptions>} Options what every `from_pretrained` of a model gets */

import { openModelCache } from './storage.js';

/** A file could not be had: no fault of the device, and no other would help. The page knows it by its name. */
class DownloadError extends Error {
  name = 'DownloadError';
}

/** Often enough for a smooth bar, seldom enough not to keep the page busy. */
const REPORT_EVERY_MS = 100;

/**
 * Load the runtime, and with it a model.
 *
 * @template T
 * @param {LoadJob} job
 * @param {(event: LoadEvent) => void} emit
 * @param {(transformers: Transformers, options: Options) => Promise<T>} loadModel
 *   `options` go into every `from_pretrained` of a model. Do not add a `progress_callback` there: with it,
 *   transformers.js first asks for every file once more to learn its size. The bytes are counted in `env.fetch`.
 * @returns {Promise<T>}
 */
export async function withRuntime(job, emit, loadModel) {
  emit({ kind: 'phase', phase: 'download' });
  const meter = new Meter(job, emit);
  try {
    const transformers = await openRuntime(job, meter);
    return await loadModel(transformers, modelOptions(job));
  } catch (error) {
    // transformers.js would say “`local_files_only=true` or `env.allowRemoteModels=false`”, which helps nobody.
    if (meter.missing) throw new DownloadError(meter.missing, { cause: error });
    throw error;
  }
}

/** @param {LoadJob} job @param {Meter} meter @returns {Promise<Transformers>} */
async function openRuntime(job, meter) {
  /** @type {Transformers} */
  const transformers = await importPart(job.transformers_url, meter);
  if (job.plan.device === 'webgpu') avoidSmallSubgroups();

  const { env } = transformers;
  pointAtModels(env, new URL(job.models_url));
  env.fetch = (input, init) => fetchCounted(input, init, meter);
  // It would import its .mjs from a blob: address. A worker's policy comes with its own answer, not from the page's
  // <meta>: a host that sends our CSP as a header (the preview does) forbids that import, and elsewhere it only makes a
  // second copy of files that are fetched here anyway.
  env.useWasmCache = false;
  const cache = await openModelCache(job.manifest);
  env.useBrowserCache = false;
  env.useCustomCache = cache !== null;
  if (cache) env.customCache = countedCache(cache, meter);

  const { wasm } = env.backends.onnx;
  if (!wasm) throw new Error('transformers.js came without its WebAssembly backend.');
  const name = `ort-wasm-simd-threaded${job.plan.build}`;
  const paths = { mjs: new URL(`${name}.mjs`, job.ort_url).href, wasm: new URL(`${name}.wasm`, job.ort_url).href };
  wasm.wasmPaths = paths;
  wasm.wasmBinary = await fetchPart(paths.wasm, meter);
  // onnxruntime imports it again and gets this one; a failure there would look like one of the device.
  await importPart(paths.mjs, meter);
  return transformers;
}

/**
 * Keep subgroups of fewer than eight from onnxruntime: its attention for prompts of 32 rows and more leaves keys out
 * there (microsoft/onnxruntime#26064; seen with 1.31.0-dev.20260914, tests/browser/test_runtimes.py tells when it is
 * mended). To be called before the first session.
 */
function avoidSmallSubgroups() {
  const requestDevice = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = function (options = {}) {
    const small = (this.info.subgroupMinSize ?? 0) < 8;
    const wanted = [...(options.requiredFeatures ?? [])].filter((name) => !(small && name.startsWith('subgroup')));
    return requestDevice.call(this, { ...options, requiredFeatures: wanted });
  };
}

/** Import a module of the runtime. Its bytes cannot be counted, only ticked off. @param {string} url @param {Meter} meter */
async function importPart(url, meter) {
  const module = await import(url).catch((error) => {
    throw lostPart(url, error);
  });
  meter.finish(url);
  return module;
}

/** @param {string} url @param {Meter} meter */
async function fetchPart(url, meter) {
  try {
    const response = await fetchCounted(url, undefined, meter);
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return await response.arrayBuffer();
  } catch (error) {
    throw lostPart(url, error);
  }
}

/** @param {string} url @param {unknown} error */
function lostPart(url, error) {
  const why = error instanceof Error ? error.message : String(error);
  return new DownloadError(`${url} could not be downloaded: ${why}.`, { cause: error });
}

/**
 * What was kept on an earlier visit does not pass `env.fetch`; it is ticked off as it is found.
 *
 * @param {Cache} cache @param {Meter} meter
 * @returns {NonNullable<Transformers['env']['customCache']>}
 */
const countedCache = (cache, meter) => ({
  async match(request) {
    const kept = await cache.match(request);
    if (kept) meter.finish(request);
    return kept;
  },
  put: (request, response) => cache.put(request, response),
});

/**
 * Models of this site are “local” to transformers.js, those of another origin “remote”; it never looks in both places.
 *
 * A local address must not carry its origin: "tokenizer_class of undefined" is what comes of an absolute one, because
 * the check whether a model has a tokenizer takes such an address for a remote file and does not look (4.3.1,
 * utils/model_registry/get_file_metadata.js).
 *
 * @param {Transformers['env']} env
 * @param {URL} models
 */
function pointAtModels(env, models) {
  const local = models.origin === location.origin;
  env.allowLocalModels = local;
  env.allowRemoteModels = !local;
  if (local) env.localModelPath = models.pathname;
  else Object.assign(env, { remoteHost: models.href, remotePathTemplate: '{model}/' });
}

/** @param {LoadJob} job */
function modelOptions({ plan, manifest }) {
  const external = Object.entries(plan.dtypes).map(([component, dtype]) => [
    component,
    manifest.components[component]?.[dtype]?.data.length || false,
  ]);
  return {
    device: plan.device,
    dtype: /** @type {Record<string, import('@huggingface/transformers').DataType>} */ (plan.dtypes),
    use_external_data_format: Object.fromEntries(external),
  };
}

/**
 * Fetch as usual, counting the bytes of the body as they come.
 *
 * @param {string | URL} input
 * @param {RequestInit | undefined} init
 * @param {Meter} meter
 * @returns {Promise<Response>}
 */
async function fetchCounted(input, init, meter) {
  const path = new URL(input, location.href).pathname;
  const response = await fetch(input, init).catch((error) => {
    meter.miss(path, 'the connection failed');
    throw error;
  });
  if (!response.ok) meter.miss(path, `the server answered ${response.status}`);
  if (!response.ok || !response.body) return response;
  let loaded = 0;
  const reader = response.body.getReader();
  const counted = new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read().catch((error) => {
        meter.miss(path, 'the connection broke off');
        throw error;
      });
      if (done) return controller.close();
      loaded += value.byteLength;
      meter.update(path, loaded);
      controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  const { status, statusText, headers } = response;
  return new Response(counted, { status, statusText, headers });
}

/** Adds up the bytes of all files of a plan. */
class Meter {
  /** @type {Map<string, number>} */
  #loaded = new Map();
  #files;
  #total_bytes;
  #emit;
  #reported_ms = -Infinity;
  /** The first file of the plan that could not be had, in words. */
  missing = '';

  /** @param {LoadJob} job @param {(event: LoadEvent) => void} emit */
  constructor({ plan }, emit) {
    this.#files = [...plan.model_files, ...plan.runtime_files];
    this.#total_bytes = this.#files.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
    this.#emit = emit;
  }

  /** @param {string} address ends with the path of one of the files @param {number} loaded_bytes */
  update(address, loaded_bytes) {
    const file = this.#find(address);
    if (!file) return; // optional files that the manifest does not list
    this.#loaded.set(file.path, Math.min(loaded_bytes, file.size_bytes));
    const now = performance.now();
    const sum = [...this.#loaded.values()].reduce((total, bytes) => total + bytes, 0);
    if (now - this.#reported_ms < REPORT_EVERY_MS && sum < this.#total_bytes) return;
    this.#reported_ms = now;
    this.#emit({ kind: 'bytes', loaded_bytes: sum, total_bytes: this.#total_bytes });
  }

  /** Remember that a file of the plan could not be fetched. @param {string} address @param {string} why */
  miss(address, why) {
    const file = this.#find(address);
    if (file) this.missing ||= `${file.path} could not be downloaded: ${why}.`;
  }

  /** @param {string} address */
  #find(address) {
    return this.#files.find(({ path }) => `/${address}`.endsWith(`/${path}`));
  }

  /** Tick a file off whose bytes are not counted. @param {string} url */
  finish(url) {
    this.update(url, Infinity);
  }
}

/**
 * @file Worker only: loads the pinned transformers.js and onnxruntime from this site and hands them the files of a model.
 *
 * No other origin is ever asked for anything but the model where the page config says so: transformers.js's own defaults
 * (its hub, a CDN for the WebAssembly) are all replaced before the first session is made. One worker has one build of
 * onnxruntime for its whole life, which is why falling back from WebGPU to WASM needs a new worker.
 *
 * Nothing waits for the whole download: the runtime starts when it is here, and each graph becomes a session when it is
 * here, while the next one is still on its way.
 */

/** @import { LoadEvent, LoadJob } from './protocol.js' */
/** @import { Wanted } from './download.js' */
/** @typedef {typeof import('@huggingface/transformers')} Transformers */
/** @typedef {ReturnType<typeof modelOptions>} Options what every `from_pretrained` of a model gets */

import { DownloadError, downloadAll } from './download.js';
import { Keep } from './keep.js';
import { notify } from './serve.js';

/** Where transformers.js believes its models to lie. It never gets there: `env.fetch` answers from what was downloaded. */
const MODELS = '/models/';

/**
 * Load the runtime, and with it a model.
 *
 * @template T
 * @param {LoadJob} job
 * @param {(event: LoadEvent) => void} emit
 * @param {(transformers: Transformers, options: Options) => Promise<T>} loadModel
 *   `options` go into every `from_pretrained` of a model; its name is `job.model_name`
 * @returns {Promise<T>}
 * @throws {DownloadError} when a file cannot be had
 */
export async function withRuntime(job, emit, loadModel) {
  emit({ kind: 'phase', phase: 'download' });
  const keep = await Keep.open(job.page_url, job.page_files);
  const files = wantedFiles(job);
  const coming = new Coming(files);
  const downloads = downloadAll(files, keep, emit, (file) => coming.note(file));
  const kept = downloads.then(() => emit({ kind: 'kept', refused: keep.refused }));
  const loading = openRuntime(job, files, keep, coming).then((transformers) => loadModel(transformers, modelOptions(job)));
  // What cannot be had fails the download; what waits for it here waits on, and goes with the worker.
  const [model] = await Promise.all([loading, kept]);
  return model;
}

/**
 * In the order in which they are needed: the runtime, what describes the model, its graphs; the larger first, because
 * what is made of it takes longer.
 *
 * @param {LoadJob} job @returns {Wanted[]}
 */
function wantedFiles({ plan, models_url, site_url }) {
  const isScript = (/** @type {string} */ path) => /\.m?js$/.test(path);
  const model = plan.model_files.map((file) => modelFile(file, models_url)).sort(bySize);
  return [
    ...plan.runtime_files.map((file) => ({ ...file, url: new URL(file.path, site_url).href, script: isScript(file.path) })).sort(bySize),
    ...model.filter(({ path }) => !isGraph(path)),
    ...model.filter(({ path }) => isGraph(path)),
  ];
}

/** @param {Wanted} a @param {Wanted} b */
const bySize = (a, b) => b.size_bytes - a.size_bytes;
const isGraph = (/** @type {string} */ path) => path.startsWith('onnx/');

/** Files on their way: each can be waited for by itself. */
class Coming {
  /** By checksum: of several with the same contents one comes. @type {Map<string, Promise<void>>} */
  #arrivals = new Map();
  /** @type {Map<string, () => void>} */
  #notes = new Map();

  /** @param {Wanted[]} files */
  constructor(files) {
    for (const { sha256 } of files) this.#arrivals.set(sha256, new Promise((resolve) => this.#notes.set(sha256, resolve)));
  }

  /** A file is here, and right. @param {Wanted} file */
  note({ sha256 }) {
    this.#notes.get(sha256)?.();
  }

  /** Wait for a file. @param {Wanted} file */
  async wait({ sha256 }) {
    await this.#arrivals.get(sha256);
  }
}

/** @param {import('./protocol.js').FileEntry} file @param {string} models_url @returns {Wanted} */
const modelFile = (file, models_url) => ({ ...file, url: new URL(file.path, models_url).href, script: false });

/** @param {LoadJob} job @param {Wanted[]} files @param {Keep} keep @param {Coming} coming @returns {Promise<Transformers>} */
async function openRuntime(job, files, keep, coming) {
  const name = `ort-wasm-simd-threaded${job.plan.build}`;
  const paths = { mjs: new URL(`${name}.mjs`, job.ort_url).href, wasm: new URL(`${name}.wasm`, job.ort_url).href };
  const binary = files.find(({ url }) => url === paths.wasm);
  await Promise.all(files.filter((file) => file.script || file === binary).map((file) => coming.wait(file)));
  /** @type {[Transformers, Uint8Array<ArrayBuffer> | undefined, unknown]} */
  const [transformers, bytes] = await Promise.all([
    importPart(job.transformers_url),
    binary && keep.read(binary, true),
    // onnxruntime imports it again and gets this one; a failure there would look like one of the device.
    importPart(paths.mjs),
  ]);
  if (job.plan.device === 'webgpu') watchDevices();

  const { env } = transformers;
  Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: MODELS });
  const start = `${MODELS}${job.model_name}/`;
  const later = job.plan.later_files.map((file) => modelFile(file, job.models_url));
  env.fetch = async (input) => {
    const path = String(input).startsWith(start) ? String(input).slice(start.length) : '';
    const late = later.find((wanted) => wanted.path === path);
    if (late && !keep.isSealed(late)) await downloadAll([late], keep, () => {});
    const file = late ?? files.find((wanted) => wanted.path === path);
    if (!file) return new Response(null, { status: 404 }); // an optional file that this model has not
    await coming.wait(file);
    const bytes = await keep.read(file, isGraph(path));
    return new Response(bytes, { headers: { 'content-length': String(bytes.byteLength) } });
  };
  env.useBrowserCache = env.useCustomCache = false;
  // It would import its .mjs from a blob: address. A worker's policy comes with its own answer, not from the page's
  // <meta>: a host that sends our CSP as a header (the preview does) forbids that import.
  env.useWasmCache = false;

  const { wasm } = env.backends.onnx;
  if (!wasm) throw new Error('transformers.js came without its WebAssembly backend.');
  wasm.wasmPaths = paths;
  if (bytes) wasm.wasmBinary = bytes.buffer;
  return transformers;
}

/**
 * Two things about every device that onnxruntime asks for. Its loss is told to the page. And subgroups of fewer than
 * eight are kept from onnxruntime: its attention for prompts of 32 rows and more leaves keys out there
 * (microsoft/onnxruntime#26064; seen with 1.31.0-dev.20260914, tests/browser/test_runtimes.py tells when it is mended).
 * To be called before the first session.
 */
export function watchDevices() {
  const requestDevice = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (options = {}) {
    const small = (this.info.subgroupMinSize ?? 0) < 8;
    const wanted = [...(options.requiredFeatures ?? [])].filter((name) => !(small && name.startsWith('subgroup')));
    const device = await requestDevice.call(this, { ...options, requiredFeatures: wanted });
    void device.lost.then(({ message }) => notify({ kind: 'device-lost', message }));
    return device;
  };
}

/** Import a module of the runtime, which lies in the browser's cache by now. @param {string} url */
async function importPart(url) {
  return import(url).catch(() => {
    throw new DownloadError({ path: new URL(url).pathname.split('/').at(-1) ?? url, problem: 'connection' });
  });
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

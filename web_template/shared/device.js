/**
 * @file Which device runs the model, and why: looks before anything is downloaded, and says it in plain words.
 *
 * Start reading at `choosePlan`. Which dtype a device gets is the manifest's decision (`tiers`), never this file's.
 */

/** @import { Capabilities, FileEntry, Manifest, Plan, Query, RuntimeBuild, SiteManifest, TierName } from './protocol.js' */

/** How long a browser may take to offer an adapter. Some drivers never answer. */
const ADAPTER_TIMEOUT_MS = 5000;

/**
 * What onnxruntime's shaders assume. The WebGPU standard promises it, its compatibility mode does not.
 *
 * @type {[keyof GPUSupportedLimits, number][]}
 */
const NEEDED_LIMITS = [
  ['maxStorageBuffersPerShaderStage', 8],
  ['maxComputeInvocationsPerWorkgroup', 256],
  ['maxComputeWorkgroupStorageSize', 16384],
];

/**
 * @param {boolean} wantsGpu false: the visitor asks for WASM, and the graphics processor is left alone
 * @returns {Promise<Capabilities>}
 */
export async function inspectDevice(wantsGpu) {
  /** @type {Capabilities} */
  const found = {
    secure: window.isSecureContext,
    webgpu: false,
    webgpu_missing: '',
    shader_f16: false,
    software: false,
    adapter_name: '',
    jspi: 'Suspending' in WebAssembly,
  };
  if (!wantsGpu) {
    found.webgpu_missing = 'it was not asked for';
    return found;
  }
  if (!found.secure) {
    found.webgpu_missing = 'browsers allow WebGPU only on https or localhost, and this page came over plain http';
    return found;
  }
  if (!('gpu' in navigator) || !navigator.gpu) {
    found.webgpu_missing = 'this browser has no WebGPU';
    return found;
  }
  const adapter = await requestAdapter();
  if (typeof adapter === 'string') {
    found.webgpu_missing = adapter;
    return found;
  }
  const short = NEEDED_LIMITS.find(([name, least]) => Number(adapter.limits[name]) < least);
  if (short) {
    const [name, least] = short;
    found.webgpu_missing = `the graphics processor allows too little (${name} is ${adapter.limits[name]}, ${least} is needed)`;
    return found;
  }
  found.webgpu = true;
  found.shader_f16 = adapter.features.has('shader-f16');
  found.software = adapter.info?.isFallbackAdapter ?? false;
  found.adapter_name = adapter.info?.description || [adapter.info?.vendor, adapter.info?.architecture].filter(Boolean).join(' ');
  return found;
}

/** @returns {Promise<GPUAdapter | string>} the adapter, or why there is none */
async function requestAdapter() {
  const late = new Promise((resolve) => setTimeout(resolve, ADAPTER_TIMEOUT_MS, 'the graphics driver did not answer'));
  try {
    const adapter = await Promise.race([navigator.gpu.requestAdapter({ powerPreference: 'high-performance' }), late]);
    return adapter ?? 'this browser offers no graphics processor to WebGPU';
  } catch (error) {
    return `WebGPU failed to start (${error instanceof Error ? error.message : String(error)})`;
  }
}

/**
 * Choose device, dtypes and files.
 *
 * @param {Capabilities} found
 * @param {Manifest} manifest
 * @param {SiteManifest | null} site tells the size of the runtime; null when unknown
 * @param {Pick<Query, 'device' | 'dtype'>} query
 * @param {string} [failure] why WebGPU was given up; the plan is then for WASM
 * @returns {Plan}
 */
export function choosePlan(found, manifest, site, query, failure = '') {
  const { tier, why, notice } = chooseTier(found, manifest, query, failure);
  const map = manifest.tiers[tier];
  if (!map) throw new Error(`The manifest of ${manifest.name} names no dtypes for ${tier}.`);
  const device = tier === 'wasm' ? 'wasm' : 'webgpu';
  const override = overrideDtypes(map, shippedDtypes(manifest, site, device), failure ? null : query.dtype, device === 'webgpu' && !found.shader_f16);
  // The plain build only knows WASM, but alone runs 4-bit embeddings there; JSPI is the smaller of the others.
  /** @type {RuntimeBuild} */
  const build = device === 'wasm' ? '' : found.jspi ? '.jspi' : '.asyncify';
  const adapter = found.adapter_name && `, ${found.adapter_name}`;
  const name = device === 'wasm' ? 'the processor (WebAssembly)' : `the graphics processor (WebGPU${adapter})`;
  return {
    device,
    tier,
    dtypes: override.dtypes,
    build,
    reason: `Runs on ${name}: ${why}.`,
    model_files: modelFiles(manifest, override.dtypes),
    runtime_files: runtimeFiles(site, build),
    notices: [notice, override.notice].filter(Boolean),
  };
}

/**
 * @param {Capabilities} found
 * @param {Manifest} manifest
 * @param {Pick<Query, 'device'>} query
 * @param {string} failure
 * @returns {{ tier: TierName, why: string, notice: string }}
 */
function chooseTier(found, manifest, query, failure) {
  if (failure) return { tier: 'wasm', why: `WebGPU was tried first, but ${failure}`, notice: '' };
  if (query.device === 'wasm') return { tier: 'wasm', why: 'the address of this page asks for it', notice: '' };
  const asked = query.device === 'webgpu';
  const missing = found.webgpu_missing || (manifest.tiers.webgpu ? '' : 'this model has no WebGPU version');
  if (missing) {
    return { tier: 'wasm', why: missing, notice: asked ? `WebGPU was asked for, but ${missing}.` : '' };
  }
  if (found.software && !asked) {
    return { tier: 'wasm', why: 'WebGPU is only imitated in software here, which is slower', notice: '' };
  }
  if (found.shader_f16 && manifest.tiers['webgpu-f16']) {
    return { tier: 'webgpu-f16', why: 'it is available here, with 16-bit arithmetic', notice: '' };
  }
  return { tier: 'webgpu', why: 'it is available here, without 16-bit arithmetic', notice: '' };
}

/**
 * Put `?dtype=` into every component that has it.
 *
 * @param {Record<string, string>} map
 * @param {Record<string, string[]>} shipped
 * @param {string | null} dtype
 * @param {boolean} lacksF16 q4f16 without shader-f16 loads and then fails: "Program X requires f16 but the device does not support it"
 */
function overrideDtypes(map, shipped, dtype, lacksF16) {
  if (dtype === null) return { dtypes: map, notice: '' };
  const known = [...new Set(Object.keys(map).flatMap((component) => shipped[component] ?? []))];
  if (!known.includes(dtype)) {
    return { dtypes: map, notice: `“dtype=${dtype}” was ignored: this page has ${known.join(', ')}.` };
  }
  if (lacksF16 && dtype.endsWith('16')) {
    return { dtypes: map, notice: `“dtype=${dtype}” was ignored: this graphics processor has no 16-bit arithmetic (shader-f16).` };
  }
  const dtypes = Object.fromEntries(
    Object.entries(map).map(([component, usual]) => [component, shipped[component]?.includes(dtype) ? dtype : usual]),
  );
  return { dtypes, notice: '' };
}

/**
 * List the dtypes of each component that can be fetched and give right answers on this device: a site carries only
 * those that some tier names.
 *
 * @param {Manifest} manifest
 * @param {SiteManifest | null} site
 * @param {'webgpu' | 'wasm'} device
 * @returns {Record<string, string[]>}
 */
function shippedDtypes(manifest, site, device) {
  const paths = (site?.files ?? []).map(({ path }) => path);
  const here = (/** @type {string} */ path) => paths.some((known) => known.endsWith(`/${manifest.name}/${path}`));
  const elsewhere = !here('config.json'); // the model lies on another origin, and is complete there
  return Object.fromEntries(
    Object.entries(manifest.components).map(([component, dtypes]) => [
      component,
      Object.entries(dtypes)
        .filter(([, variant]) => (elsewhere || here(variant.path)) && !(device === 'webgpu' && variant.not_on_webgpu))
        .map(([dtype]) => dtype),
    ]),
  );
}

/**
 * @param {Manifest} manifest
 * @param {Record<string, string>} dtypes
 * @returns {FileEntry[]}
 */
function modelFiles(manifest, dtypes) {
  const graphs = Object.entries(dtypes).flatMap(([component, dtype]) => {
    const variant = manifest.components[component]?.[dtype];
    if (!variant) throw new Error(`The manifest of ${manifest.name} has no ${component} in ${dtype}.`);
    return [variant, ...variant.data];
  });
  // The settings and the tokenizer. The rest of a model's folder (its README) is for readers and is never fetched.
  const settings = manifest.files.filter(({ path }) => path.endsWith('.json') && path !== 'manifest.json');
  return [...graphs, ...settings];
}

/**
 * @param {SiteManifest | null} site
 * @param {RuntimeBuild} build
 * @returns {FileEntry[]}
 */
function runtimeFiles(site, build) {
  const names = ['transformers.min.js', `ort-wasm-simd-threaded${build}.mjs`, `ort-wasm-simd-threaded${build}.wasm`];
  return (site?.files ?? []).filter(({ path }) => names.some((name) => path.endsWith(`/${name}`)));
}

/** @param {Plan} plan */
export const planBytes = (plan) =>
  [...plan.model_files, ...plan.runtime_files].reduce((sum, { size_bytes }) => sum + size_bytes, 0);

/** A short name such as “WebGPU · q4f16” or “WASM · q8”. @param {Plan} plan */
export function planLabel(plan) {
  const dtypes = [...new Set(Object.values(plan.dtypes))].join(' + ');
  return `${plan.device === 'wasm' ? 'WASM' : 'WebGPU'} · ${dtypes}`;
}

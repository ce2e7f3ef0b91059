/**
 * @file Which device runs the model, and why: looks before anything is downloaded, and says it in plain words.
 *
 * Start reading at `choosePlan`. Which dtype a device gets is the manifest's decision (`tiers`), never this file's.
 */

/** @import { Capabilities, FileEntry, Manifest, Plan, Query, RuntimeBuild, SiteManifest, Text, TierName, Variant } from './protocol.js' */

import { later } from './language.js';
import { megabytes } from './state.js';

/** How long a browser may take to offer an adapter. Some drivers never answer. */
const ADAPTER_TIMEOUT_MS = 5000;

/** iOS ends a page that takes about as much, and never says how much there is. */
const APPLE_TOUCH_BYTES = 1.2e9;

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
    wasm: 'WebAssembly' in globalThis, // not where the visitor has locked the browser down
    jspi: 'Suspending' in (globalThis.WebAssembly ?? {}),
    largest_buffer_bytes: 0,
    memory_bytes: 'deviceMemory' in navigator ? Number(navigator.deviceMemory) * 2 ** 30 : null,
    apple_touch: navigator.maxTouchPoints > 1 && /^(Mac|iP)/.test(navigator.platform),
  };
  if (!wantsGpu) {
    found.webgpu_missing = later('it was not asked for');
    return found;
  }
  if (!found.secure) {
    found.webgpu_missing = later('browsers allow WebGPU only on https or localhost, and this page came over plain http');
    return found;
  }
  if (!('gpu' in navigator) || !navigator.gpu) {
    found.webgpu_missing = later('this browser has no WebGPU');
    return found;
  }
  const adapter = await requestAdapter();
  if ('text' in adapter) {
    found.webgpu_missing = adapter;
    return found;
  }
  const short = NEEDED_LIMITS.find(([name, least]) => Number(adapter.limits[name]) < least);
  if (short) {
    const [name, least] = short;
    const values = { name, present: Number(adapter.limits[name]), least };
    found.webgpu_missing = later('the graphics processor allows too little ({name} is {present}, {least} is needed)', values);
    return found;
  }
  found.webgpu = true;
  found.largest_buffer_bytes = Math.min(adapter.limits.maxBufferSize, adapter.limits.maxStorageBufferBindingSize);
  found.shader_f16 = adapter.features.has('shader-f16');
  found.software = adapter.info?.isFallbackAdapter ?? false;
  found.adapter_name = adapter.info?.description || [adapter.info?.vendor, adapter.info?.architecture].filter(Boolean).join(' ');
  return found;
}

/** @returns {Promise<GPUAdapter | import('./protocol.js').Later>} the adapter, or why there is none */
async function requestAdapter() {
  const late = new Promise((resolve) => setTimeout(resolve, ADAPTER_TIMEOUT_MS, later('the graphics driver did not answer')));
  try {
    const adapter = await Promise.race([navigator.gpu.requestAdapter({ powerPreference: 'high-performance' }), late]);
    return adapter ?? later('this browser offers no graphics processor to WebGPU');
  } catch (error) {
    return later('WebGPU failed to start ({why})', { why: error instanceof Error ? error.message : String(error) });
  }
}

/**
 * Choose device, dtypes and files.
 *
 * @param {Capabilities} found
 * @param {Manifest} manifest
 * @param {SiteManifest | null} site tells the size of the runtime; null when unknown
 * @param {Pick<Query, 'device' | 'dtype'>} query
 * @param {Text} [failure] why WebGPU was given up; the plan is then for WASM
 * @returns {Plan}
 */
export function choosePlan(found, manifest, site, query, failure = '') {
  const { tier, why, notice, missing } = chooseTier(found, manifest, query, failure);
  const map = manifest.tiers[tier];
  if (!map) throw new Error(`The manifest of ${manifest.name} names no dtypes for ${tier}.`);
  const device = tier === 'wasm' ? 'wasm' : 'webgpu';
  const override = overrideDtypes(map, shippedDtypes(manifest, site, device, found), failure ? null : query.dtype, device === 'webgpu' && !found.shader_f16);
  // The plain build only knows WASM, but alone runs 4-bit embeddings there; JSPI is the smaller of the others.
  /** @type {RuntimeBuild} */
  const build = device === 'wasm' ? '' : found.jspi ? '.jspi' : '.asyncify';
  const adapter = found.adapter_name && `, ${found.adapter_name}`;
  const reason =
    device === 'wasm'
      ? later('Runs on the processor (WebAssembly): {why}.', { why })
      : later('Runs on the graphics processor (WebGPU{adapter}): {why}.', { adapter, why });
  return {
    device,
    tier,
    dtypes: override.dtypes,
    build,
    reason,
    webgpu_missing: missing ?? '',
    model_files: [...graphFiles(manifest, override.dtypes, false), ...settingFiles(manifest)],
    later_files: graphFiles(manifest, override.dtypes, true),
    runtime_files: runtimeFiles(site, build),
    notices: [notice, override.notice].filter((text) => text !== ''),
  };
}

/**
 * @param {Capabilities} found
 * @param {Manifest} manifest
 * @param {Pick<Query, 'device'>} query
 * @param {Text} failure
 * @returns {{ tier: TierName, why: Text, notice: Text, missing?: Text }} `missing`: why WebGPU is not used although it might be wanted
 */
function chooseTier(found, manifest, query, failure) {
  if (failure) return { tier: 'wasm', why: later('WebGPU was tried first, but {failure}', { failure }), notice: '', missing: failure };
  if (query.device === 'wasm') return { tier: 'wasm', why: later('the address of this page asks for it'), notice: '' };
  const asked = query.device === 'webgpu';
  /** @type {TierName[]} */
  const tiers = found.shader_f16 ? ['webgpu-f16', 'webgpu'] : ['webgpu'];
  const present = tiers.filter((tier) => manifest.tiers[tier]);
  const fitting = present.find((tier) => largestTensor(manifest, tier) <= found.largest_buffer_bytes);
  let missing = found.webgpu_missing;
  if (!missing && !present.length) missing = later('this model has no WebGPU version');
  if (!missing && !fitting) {
    const values = { needed: megabytes(Math.min(...present.map((tier) => largestTensor(manifest, tier)))), most: megabytes(found.largest_buffer_bytes) };
    missing = later('the model has a table of {needed} MB, and this graphics processor takes at most {most} MB in one piece', values);
  }
  if (!missing && found.software && !asked) missing = later('WebGPU is only imitated in software here, which is slower');
  if (missing || !fitting) {
    return { tier: 'wasm', why: missing, notice: asked ? later('WebGPU was asked for, but {missing}.', { missing }) : '', missing };
  }
  const why = fitting === 'webgpu-f16' ? later('it is available here, with 16-bit arithmetic') : later('it is available here, without 16-bit arithmetic');
  return { tier: fitting, why, notice: '' };
}

/** What one buffer must hold, as far as the manifest says. @param {Manifest} manifest @param {TierName} tier */
const largestTensor = (manifest, tier) =>
  Math.max(0, ...Object.entries(manifest.tiers[tier] ?? {}).map(([name, dtype]) => manifest.components[name]?.[dtype]?.largest_tensor_bytes ?? 0));

/**
 * What is known before anything runs about the memory that a plan takes, in words; empty when it should do.
 *
 * A graph is held as a file and as what the runtime makes of it; onnxruntime and the page take the rest.
 *
 * @param {Capabilities} found @param {Plan} plan
 * @returns {Text}
 */
export function memoryWarning(found, plan) {
  const needed = 2 * planBytes(plan) + 300e6;
  const values = { needed: (needed / 1e9).toFixed(1), present: ((found.memory_bytes ?? 0) / 1e9).toFixed(1) };
  // Browsers report 8 GB at most and keep a tab well below what the device has.
  if (found.memory_bytes && needed > found.memory_bytes / 2) {
    return later('The model needs about {needed} GB of memory and this device has {present} GB: the browser may end the page.', values);
  }
  if (plan.device === 'wasm' && needed > 4e9) {
    return later('The model needs about {needed} GB of memory, and WebAssembly has 4 GB at most: it will probably not load.', values);
  }
  if (found.apple_touch && needed > APPLE_TOUCH_BYTES) {
    return later('The model needs about {needed} GB of memory, which is more than phones and tablets of Apple give a page: the browser may end it.', values);
  }
  return '';
}

/**
 * How fast a plan for WASM will be, in words. Measured on two slow cores: 0.5 G multiplications a second for each core
 * where words are written one by one, 18 G where a picture is read; a weight is multiplied once for each.
 *
 * @param {Plan} plan
 * @returns {Text}
 */
export function expectedSpeed(plan) {
  const cores = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
  const bytes_per_core = plan.model_files.reduce((sum, { size_bytes }) => sum + size_bytes, 0) / cores;
  if (bytes_per_core < 20e6) return later('This model is small: expect an answer in about a second.');
  if (bytes_per_core < 150e6) return later('Expect several seconds for an answer, where a graphics processor takes less than one.');
  return later('Expect half a minute or more for an answer, where a graphics processor takes about a second.');
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
    const notice = later('“{given}” was ignored: this page has {known}.', { given: `dtype=${dtype}`, known: known.join(', ') });
    return { dtypes: map, notice };
  }
  if (lacksF16 && dtype.endsWith('16')) {
    const notice = later('“{given}” was ignored: this graphics processor has no 16-bit arithmetic (shader-f16).', { given: `dtype=${dtype}` });
    return { dtypes: map, notice };
  }
  const dtypes = Object.fromEntries(
    Object.entries(map).map(([component, usual]) => [component, shipped[component]?.includes(dtype) ? dtype : usual]),
  );
  return { dtypes, notice: '' };
}

/**
 * List the dtypes of each component that can be fetched, fit into this device and give right answers on it: a site
 * carries only those that some tier names.
 *
 * @param {Manifest} manifest
 * @param {SiteManifest | null} site
 * @param {'webgpu' | 'wasm'} device
 * @param {Capabilities} found
 * @returns {Record<string, string[]>}
 */
function shippedDtypes(manifest, site, device, found) {
  const paths = (site?.files ?? []).map(({ path }) => path);
  const here = (/** @type {string} */ path) => paths.some((known) => known.endsWith(`/${manifest.name}/${path}`));
  const elsewhere = !here('config.json'); // the model lies on another origin, and is complete there
  return Object.fromEntries(
    Object.entries(manifest.components).map(([component, dtypes]) => [
      component,
      Object.entries(dtypes)
        .filter(([dtype, variant]) => (elsewhere || here(variant.path)) && !variant.fault && (device === 'wasm' || runsOnGpu(variant, dtype, found)))
        .map(([dtype]) => dtype),
    ]),
  );
}

/** A dtype whose name tells of 16 bits is refused by that name, see `overrideDtypes`. @param {Variant} variant @param {string} dtype @param {Capabilities} found */
const runsOnGpu = (variant, dtype, found) =>
  !variant.not_on_webgpu &&
  (variant.largest_tensor_bytes ?? 0) <= found.largest_buffer_bytes &&
  (found.shader_f16 || !variant.needs_f16 || dtype.endsWith('16'));

/**
 * @param {Manifest} manifest
 * @param {Record<string, string>} dtypes
 * @param {boolean} later those that the page does without at first, or all the others
 * @returns {FileEntry[]}
 */
function graphFiles(manifest, dtypes, later) {
  const components = Object.entries(dtypes).filter(([component]) => later === (manifest.later ?? []).includes(component));
  return components.flatMap(([component, dtype]) => {
    const variant = manifest.components[component]?.[dtype];
    if (!variant) throw new Error(`The manifest of ${manifest.name} has no ${component} in ${dtype}.`);
    return [variant, ...variant.data];
  });
}

/** The settings and the tokenizer. The rest of a model's folder (its README) is for readers and is never fetched. @param {Manifest} manifest */
const settingFiles = ({ files }) => files.filter(({ path }) => /\.(json|jinja)$/.test(path) && path !== 'manifest.json');

/**
 * @param {SiteManifest | null} site
 * @param {RuntimeBuild} build
 * @returns {FileEntry[]}
 */
function runtimeFiles(site, build) {
  const names = ['transformers.min.js', `ort-wasm-simd-threaded${build}.mjs`, `ort-wasm-simd-threaded${build}.wasm`];
  return (site?.files ?? []).filter(({ path }) => names.some((name) => path.endsWith(`/${name}`)));
}

/**
 * What takes less memory than this plan: the smallest dtypes on the same device, or else WASM.
 *
 * @param {Capabilities} found @param {Manifest} manifest @param {SiteManifest | null} site @param {Plan} plan
 * @returns {Plan | null}
 */
export function smallerPlan(found, manifest, site, plan) {
  const dtypes = [...new Set(Object.values(manifest.components).flatMap((variants) => Object.keys(variants)))];
  const others = dtypes.map((dtype) => choosePlan(found, manifest, site, { device: plan.device, dtype })).filter(({ notices }) => !notices.length);
  const [least] = others.sort((a, b) => planBytes(a) - planBytes(b));
  if (least && planBytes(least) < 0.9 * planBytes(plan)) return least;
  return plan.device === 'webgpu' ? choosePlan(found, manifest, site, { device: 'wasm', dtype: null }) : null;
}

/** @param {Plan} plan */
export const planBytes = (plan) =>
  [...plan.model_files, ...plan.runtime_files].reduce((sum, { size_bytes }) => sum + size_bytes, 0);

/** A short name such as “WebGPU · q4f16” or “WASM · q8”. @param {Plan} plan */
export function planLabel(plan) {
  const dtypes = [...new Set(Object.values(plan.dtypes))].join(' + ');
  return `${plan.device === 'wasm' ? 'WASM' : 'WebGPU'} · ${dtypes}`;
}

/**
 * Shapes that cross a boundary: the page config and the manifest that Python writes, and the messages between the
 * page and its worker. Types only: no code stands here, and nothing of it reaches a site.
 *
 * Python's side of the first two is `builder/site/render.py` and `builder/manifest.py`.
 */

export type State = 'checking' | 'loading' | 'ready' | 'running' | 'paused' | 'done' | 'error';
/** `none`: nothing of the model is in memory; `loaded`: it is. */
export type ModelState = 'none' | 'loaded';
export type Device = 'webgpu' | 'wasm';
export type TierName = 'webgpu-f16' | 'webgpu' | 'wasm';
/** Suffix of the onnxruntime-web build: plain (WASM only), JSPI or Asyncify (both can drive WebGPU). */
export type RuntimeBuild = '' | '.jspi' | '.asyncify';

// ------------------------------------------------------------------------------------------------ files that Python writes

export interface FileEntry {
  path: string;
  size_bytes: number;
  sha256: string;
}

/** One component of a model in one dtype; `data` lists its external data files, empty when it has none. */
export interface Variant extends FileEntry {
  data: FileEntry[];
  /** Why it gives wrong answers on WebGPU, where it does. */
  not_on_webgpu?: string | null;
}

export interface Prompt {
  id: string;
  label: string;
  text: string;
}

/** How a picture becomes the model's input: see ImageFacts in builder/manifest.py. */
export interface ImageFacts {
  width: number;
  height: number;
  tokens: number | null;
  fit: 'crop' | 'letterbox' | 'stretch';
  resample: 'bilinear' | 'bicubic' | 'lanczos';
}

/** What a page reads of a web model's manifest.json; the rest is for the builder. */
export interface Manifest {
  format: number;
  name: string;
  family: string;
  task: string;
  model_type: string;
  image: ImageFacts;
  context: { text_tokens: number };
  prompts: Prompt[];
  generation?: { max_new_tokens: number } | null;
  components: Record<string, Record<string, Variant>>;
  files: FileEntry[];
  tiers: Partial<Record<TierName, Record<string, string>>>;
}

/** What a page reads of the site's own manifest.json: how large the runtime is. */
export interface SiteManifest {
  files: FileEntry[];
}

export interface PageConfig {
  format: number;
  page: string;
  title: string;
  lang: string;
  model: { name: string; root: string; manifest: string };
  runtime: { transformers: string; ort: string };
  sample: { video?: string; album?: string } | null;
}

export interface Album {
  photos: { name: string; path: string }[];
}

// ------------------------------------------------------------------------------------------------ what the page decides

/** The query parameters of the page contract, checked; `null` where absent or refused. */
export interface Query {
  device: Device | null;
  dtype: string | null;
  source: string | null;
  autostart: boolean;
  q: string | null;
  /** One sentence for each value that was refused. */
  notices: string[];
}

/** What this browser can do, with the reasons in plain words. */
export interface Capabilities {
  secure: boolean;
  webgpu: boolean;
  /** Why WebGPU cannot be used here; empty when it can. */
  webgpu_missing: string;
  shader_f16: boolean;
  /** The adapter is a program on the CPU, not a graphics processor. */
  software: boolean;
  adapter_name: string;
  jspi: boolean;
}

/** Which device, which dtypes and which files: decided before anything is downloaded. */
export interface Plan {
  device: Device;
  tier: TierName;
  /** Component to dtype, as the manifest's tier (or `?dtype=`) says. */
  dtypes: Record<string, string>;
  build: RuntimeBuild;
  /** One sentence for `data-role="device"`: which device, and why. */
  reason: string;
  /** Every file that starting fetches: paths of the model are relative to its folder, of the runtime to the site. */
  model_files: FileEntry[];
  runtime_files: FileEntry[];
  notices: string[];
}

// ------------------------------------------------------------------------------------------------ messages

/** Everything the worker needs to load a model. All addresses are absolute. */
export interface LoadJob {
  plan: Plan;
  manifest: Manifest;
  model_name: string;
  models_url: string;
  transformers_url: string;
  ort_url: string;
}

export type LoadEvent =
  | { kind: 'bytes'; loaded_bytes: number; total_bytes: number }
  | { kind: 'phase'; phase: 'download' | 'warm-up' };

/** One kind of request: what goes in, what is reported on the way, what comes out. */
export interface Call {
  payload: unknown;
  event: unknown;
  result: unknown;
}
/** Every worker answers at least `load`. */
export interface BaseCalls {
  load: { payload: LoadJob; event: LoadEvent; result: { load_ms: number } };
}

export interface CaptionCalls extends BaseCalls {
  caption: {
    payload: { picture: ImageBitmap; prompt: string; max_new_tokens: number };
    event: { kind: 'text'; text: string };
    result: CaptionResult;
  };
}

export interface CaptionResult {
  text: string;
  tokens: number;
  first_token_ms: number;
  total_ms: number;
}

export interface PhotoCalls extends BaseCalls {
  index: {
    payload: { photos: PhotoItem[] };
    event: PhotoEvent;
    result: { indexed: number; unreadable: number; total_ms: number };
  };
  search: {
    payload: { query: string; limit: number };
    event: never;
    result: { hits: Hit[]; searched: number };
  };
}

/** A photo to index: a picked file, or an address on this origin. */
export interface PhotoItem {
  id: number;
  source: Blob | string;
}
export type PhotoEvent =
  | { kind: 'indexed'; id: number; thumbnail: Blob; width: number; height: number }
  | { kind: 'unreadable'; id: number; why: string };
export interface Hit {
  id: number;
  /** Cosine between the query and the photo, -1 to 1. */
  score: number;
}

/** Page to worker. */
export type ToWorker = { id: number; type: string; payload: unknown } | { id: number; type: 'abort' };
/** Worker to page: any number of events, then exactly one of done, aborted, error. */
export type FromWorker =
  | { id: number; kind: 'event'; event: unknown }
  | { id: number; kind: 'done'; result: unknown }
  | { id: number; kind: 'aborted' }
  | { id: number; kind: 'error'; name: string; message: string; stack: string };

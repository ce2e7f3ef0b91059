/**
 * Shapes that cross a boundary: the page config and the manifest that Python writes, and the messages between the
 * page and its worker. Types only: no code stands here, and nothing of it reaches a site.
 *
 * Python's side of the first two is `builder/site/render.py` and `builder/manifest.py`.
 */

export type * from './photo-protocol.js';

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
  /** How it was made, where quantize made it. */
  recipe?: string | null;
  /** Why it cannot be used at all, where it cannot. */
  fault?: string | null;
  /** Whether it computes in 16 bits, whatever its name says. */
  needs_f16?: boolean;
  /** Why it gives wrong answers on WebGPU, where it does. */
  not_on_webgpu?: string | null;
  /** What one buffer of the graphics processor must hold at least. */
  largest_tensor_bytes?: number | null;
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
  /** Languages that its text tower has learnt; without it: English. */
  languages?: string[] | null;
  /** Of a dual encoder: which indexes its vectors can be compared with, see builder/album/space.py. */
  vector_space?: string | null;
  /** Components that this page does without until they are asked for: the page says so (shared/session.js), no file. */
  later?: string[];
}

/** What a page reads of the site's own manifest.json: which version it is, and how large its files are. */
export interface SiteManifest {
  version?: string;
  files: FileEntry[];
}

export interface PageConfig {
  format: number;
  page: string;
  title: string;
  lang: string;
  /** `root` holds a folder of the model's name, unless it is absolute: then it is that folder. */
  model: { name: string; root: string; manifest: string };
  /** A Gradio app that answers for browsers which cannot; `client` is the library that speaks to it. */
  server: { url: string; client: string } | null;
  runtime: { transformers: string; ort: string };
  sample: { video?: string; album?: string } | null;
  /** A published album; `photos_url` is null when the photos themselves are not to be had. */
  collection?: { index: string; photos_url: string | null; photos: number } | null;
  /** The page's own sentences, with their vectors: builder/sentences.py. */
  sentences?: string | null;
}

export interface Album {
  photos: { name: string; path: string }[];
}

// ------------------------------------------------------------------------------------------------ what the page decides

/** A sentence that is put into the visitor's language when it is shown: `later()` in shared/language.js. */
export interface Later {
  text: string;
  values?: Record<string, Text | number>;
}
export type Text = string | Later;

/** The query parameters of the page contract, checked; `null` where absent or refused. */
export interface Query {
  device: Device | 'server' | null;
  dtype: string | null;
  source: string | null;
  autostart: boolean;
  q: string | null;
  /** One sentence for each value that was refused. */
  notices: Text[];
}

/** What this browser can do, with the reasons in plain words. */
export interface Capabilities {
  secure: boolean;
  webgpu: boolean;
  /** Why WebGPU cannot be used here; empty when it can. */
  webgpu_missing: Text;
  shader_f16: boolean;
  /** The adapter is a program on the CPU, not a graphics processor. */
  software: boolean;
  adapter_name: string;
  /** Without WebAssembly nothing runs, on WebGPU neither. */
  wasm: boolean;
  jspi: boolean;
  /** The most that one buffer of the graphics processor may hold; 0 without one. */
  largest_buffer_bytes: number;
  /** What the browser says of the device's memory, rounded and capped by it; null where it says nothing. */
  memory_bytes: number | null;
  /** A phone or tablet of Apple; they say nothing of their memory, and give a page little. */
  apple_touch: boolean;
}

/** Which device, which dtypes and which files: decided before anything is downloaded. */
export interface Plan {
  device: Device;
  tier: TierName;
  /** Component to dtype, as the manifest's tier (or `?dtype=`) says. */
  dtypes: Record<string, string>;
  build: RuntimeBuild;
  /** One sentence for `data-role="device"`: which device, and why. */
  reason: Text;
  /** Why WebGPU is not used although nobody asked for anything else; empty when it is, or when it was not wanted. */
  webgpu_missing: Text;
  /** Every file that starting fetches: paths of the model are relative to its folder, of the runtime to the site. */
  model_files: FileEntry[];
  runtime_files: FileEntry[];
  /** Graphs of the components in `Manifest.later`: fetched when transformers.js asks for them. */
  later_files: FileEntry[];
  notices: Text[];
}

// ------------------------------------------------------------------------------------------------ messages

/** Everything the worker needs to load a model. All addresses are absolute. */
export interface LoadJob {
  plan: Plan;
  manifest: Manifest;
  model_name: string;
  /** The model's own folder; model_files of the plan are relative to it. */
  models_url: string;
  /** The site's root; runtime_files of the plan are relative to it. */
  site_url: string;
  /** For which page files are kept, and all that it may ever need: shared/keep.js. */
  page_url: string;
  page_files: FileEntry[];
  transformers_url: string;
  ort_url: string;
  /** The visitor has agreed that a server runs the model: absolute addresses of it and of its client. */
  server: { url: string; client_url: string } | null;
}

export type LoadEvent =
  /** Kept bytes count as loaded; the speed is that of the connection, 0 while unknown. */
  | { kind: 'bytes'; loaded_bytes: number; total_bytes: number; bytes_per_second: number }
  /** The connection is lost or too busy; it is tried again. */
  | { kind: 'waiting'; path: string }
  /** All is downloaded. `refused`: why it could not be stored for the next visit. */
  | { kind: 'kept'; refused: string }
  | { kind: 'phase'; phase: 'download' | 'warm-up' };

/** Why a file could not be had: shared/download.js. */
export interface DownloadProblem {
  path: string;
  problem: 'connection' | 'refused' | 'page' | 'damaged';
  status?: number;
}

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
    payload: {
      picture: ImageBitmap;
      prompt: string;
      max_new_tokens: number;
      /** Stop after the first sentence. */
      brief?: boolean;
    };
    event: { kind: 'text'; text: string };
    result: CaptionResult;
  };
  /** A question about a picture that stays: the worker keeps the conversation, so that only the question is new to it. */
  ask: {
    payload: {
      /** Names the conversation. */
      conversation: number;
      /** What was asked and answered before, oldest first. */
      history: Turn[];
      prompt: string;
      max_new_tokens: number;
      /** For the first question, and for all of them anew after a ConversationLost. */
      picture?: ImageBitmap;
    };
    event: { kind: 'text'; text: string };
    result: AskResult;
  };
  /** Let go of the conversation and its memory. */
  forget: { payload: Record<string, never>; event: never; result: Record<string, never> };
}

/** What the camera page asks of eyes.js about a frame, which it hands over (a picture that stays: a copy). */
export interface EyeCalls extends BaseCalls {
  look: {
    payload: {
      frame: VideoFrame | ImageBitmap;
      fit: ImageFacts['fit'];
      /** Longer edge of the picture that is wanted back, 0 for all there is; null: none is. */
      longest: number | null;
    };
    event: never;
    result: Look;
  };
}
export interface Look {
  /** See shared/luma.js and shared/frame-quality.js. */
  coarse: Uint8Array;
  fault: '' | 'covered' | 'dark' | 'blurred';
  picture: ImageBitmap | null;
}

export interface Turn {
  question: string;
  answer: string;
}

export interface CaptionResult {
  text: string;
  tokens: number;
  first_token_ms: number;
  total_ms: number;
  /** The limit ended it, not the model. A server does not say. */
  cut?: boolean;
}

export interface AskResult extends CaptionResult {
  /** How many tokens of picture and earlier turns did not have to be run again. */
  reused_tokens: number;
}

/** What a server answers in place of a model (shared/server.js): captions, and unit vectors for photo-search. */
export interface ServerCalls extends BaseCalls {
  caption: CaptionCalls['caption'];
  ask: CaptionCalls['ask'];
  /** Vectors of pictures of the model's size and then of texts, 32 in all. */
  embed: { payload: { pictures: RgbPicture[]; texts: string[] }; event: never; result: { vectors: Float32Array[] } };
}
export interface RgbPicture {
  data: Uint8ClampedArray | Uint8Array;
  width: number;
  height: number;
}

/** Page to worker. */
export type ToWorker = { id: number; type: string; payload: unknown } | { id: number; type: 'abort' };
/** Worker to page: any number of events, then exactly one of done, aborted, error. */
export type FromWorker =
  | { id: number; kind: 'event'; event: unknown }
  | { id: number; kind: 'done'; result: unknown }
  | { id: number; kind: 'aborted' }
  | { id: number; kind: 'error'; name: string; message: string; stack: string; detail?: unknown };
/** Worker to page, unasked: an event with id 0. */
export type Notice = { kind: 'device-lost'; message: string } | { kind: 'lock-held' } | { kind: 'sent'; bytes: number };

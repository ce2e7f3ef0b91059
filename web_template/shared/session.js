/**
 * @file The way from an opened page to a loaded model, the same on every page: check, offer, load, fall back, retry.
 *
 * Start reading at `openSession`. A page hands in its worker and is called back when the model is ready; what it then
 * does with the model is its own business. Nothing of the model runs on this thread.
 */

/** @import { BaseCalls, Call, Capabilities, LoadEvent, Manifest, PageConfig, Plan, Query, SiteManifest } from './protocol.js' */

import { Bridge, WorkerError, isAbort } from './bridge.js';
import { absolute, readConfig, readQuery } from './config.js';
import { choosePlan, inspectDevice, planBytes } from './device.js';
import { PageError, byRole, clearProblem, megabytes, part, say, setModelState, setState, showProblem } from './state.js';

/**
 * @template {BaseCalls & { [name in keyof C]: Call }} C
 * @typedef {{
 *   worker: URL,
 *   sources: (config: PageConfig) => string[],
 *   allowVideoUrl: boolean,
 *   onOffer: (session: Session<C>) => void,
 *   onReady: (session: Session<C>) => void,
 *   onLost: () => void,
 * }} Page
 *   `sources`: the words that `?source=` may hold; `onOffer`: the check is over, nothing is loaded;
 *   `onReady`: the model is loaded; `onLost`: the model is gone, stop using it
 */

/**
 * Check the device, offer the download (or start it with `?autostart=1`), and load.
 *
 * @template {BaseCalls & { [name in keyof C]: Call }} C
 * @param {Page<C>} page
 */
export async function openSession(page) {
  setState('checking');
  setModelState('none');
  say('Checking what this device can do…');
  try {
    const config = readConfig();
    const query = readQuery(location.search, { sources: page.sources(config), allowVideoUrl: page.allowVideoUrl });
    const [found, manifest, site] = await Promise.all([
      inspectDevice(query.device !== 'wasm'),
      fetchJson(absolute(config.model.manifest), 'the description of the model'),
      fetchSite(),
    ]);
    const session = new Session(page, config, query, manifest, found, site);
    page.onOffer(session);
    if (query.autostart) await session.load();
    else session.offer();
  } catch (error) {
    const words = error instanceof PageError ? error : null;
    showProblem({
      title: words?.title ?? 'This page could not start',
      what: messageOf(error),
      todo: words?.todo ?? 'Reload the page. If it stays like this, the site has to be built again.',
      retry: () => void openSession(page),
    });
  }
}

/** @template {BaseCalls & { [name in keyof C]: Call }} C */
export class Session {
  /** @type {Bridge<C> | null} */
  #bridge = null;
  #settled = false;
  #page;
  #found;
  #site;

  /**
   * @param {Page<C>} page
   * @param {PageConfig} config
   * @param {Query} query
   * @param {Manifest} manifest
   * @param {Capabilities} found
   * @param {SiteManifest | null} site
   */
  constructor(page, config, query, manifest, found, site) {
    this.#page = page;
    this.#found = found;
    this.#site = site;
    this.config = config;
    this.query = query;
    this.manifest = manifest;
    /** @type {Plan} */
    this.plan = choosePlan(found, manifest, site, query);
    this.#showPlan();
    byRole('start', HTMLButtonElement).onclick = () => void this.load();
    byRole('cancel', HTMLButtonElement).onclick = () => this.#cancel();
  }

  /** Wait for the visitor: nothing has been downloaded, and the button says how much will be. */
  offer(text = 'Ready when you are.') {
    setState('paused');
    setModelState('none');
    say([text, ...this.notices].join(' '));
  }

  /** What was asked for and refused, or given up: to be said beside the state, until the page has settled. */
  get notices() {
    return this.#settled ? [] : [...this.query.notices, ...this.plan.notices];
  }

  /** The notices have been read long enough. */
  settle() {
    this.#settled = true;
  }

  /** Load the model in a fresh worker; on WebGPU, fall back to WASM in another when that fails. */
  async load() {
    clearProblem();
    setState('loading');
    setModelState('none');
    say(['Loading the model…', ...this.notices].join(' '));
    this.#showProgress({ kind: 'bytes', loaded_bytes: 0, total_bytes: planBytes(this.plan) });
    const bridge = (this.#bridge = new Bridge(this.#page.worker));
    try {
      await bridge.request('load', this.#job(), { onEvent: (event) => this.#showProgress(/** @type {LoadEvent} */ (event)) });
      setModelState('loaded');
      setState('ready');
      say(['The model is ready.', ...this.notices].join(' '));
      this.#page.onReady(this);
    } catch (error) {
      bridge.terminate();
      if (isAbort(error)) return; // cancel() has already said so
      // A file that is missing for WebGPU says nothing about WebGPU, and WASM would have to fetch as much again.
      const missing = error instanceof WorkerError && error.name === 'DownloadError';
      if (this.plan.device === 'webgpu' && !missing) {
        this.#giveUpWebGpu(messageOf(error));
        await this.load();
        return;
      }
      const memory = missing ? '' : ' If memory is short, close other tabs first.';
      this.#end('The model could not be loaded', messageOf(error), `Check the connection and try again.${memory}`);
    }
  }

  /**
   * Ask the worker for something; see Bridge.request.
   *
   * @template {keyof C & string} T
   * @param {T} type
   * @param {C[T]['payload']} payload
   * @param {Parameters<Bridge<C>['request']>[2] & { onEvent?: (event: C[T]['event']) => void }} [options]
   * @returns {Promise<C[T]['result']>}
   */
  request(type, payload, options) {
    if (!this.#bridge) return Promise.reject(new Error('The model is not loaded.'));
    return this.#bridge.request(type, payload, options);
  }

  /** Give the model up after a failure and offer to load it again, on WASM if WebGPU failed. @param {unknown} error */
  fail(error) {
    const what = messageOf(error);
    let todo = 'Try again. If it happens again, reload the page.';
    if (this.plan.device === 'webgpu') {
      this.#giveUpWebGpu(what);
      todo = 'Try again: the page will then use the processor instead of the graphics processor.';
    }
    this.#end('The model stopped working', what, todo);
  }

  /** Stop the worker and free its memory. */
  dispose() {
    this.#bridge?.terminate();
    this.#bridge = null;
    setModelState('none');
    this.#page.onLost();
  }

  /** @param {string} title @param {string} what @param {string} todo */
  #end(title, what, todo) {
    this.dispose();
    showProblem({ title, what, todo, retry: () => void this.load() });
  }

  #cancel() {
    this.dispose();
    this.offer('Stopped. Nothing is being downloaded.');
  }

  /** @param {string} what */
  #giveUpWebGpu(what) {
    this.plan = choosePlan(this.#found, this.manifest, this.#site, this.query, `it failed here (${shorten(what)})`);
    this.#settled = false;
    this.plan.notices.push('WebGPU failed, so this page continues on the processor (WebAssembly).');
    this.#showPlan();
  }

  #job() {
    const { config, manifest, plan } = this;
    return {
      plan,
      manifest,
      model_name: config.model.name,
      models_url: absolute(config.model.root),
      transformers_url: absolute(config.runtime.transformers),
      ort_url: absolute(config.runtime.ort),
    };
  }

  #showPlan() {
    byRole('device', HTMLElement).textContent = this.plan.reason;
    byRole('start', HTMLButtonElement).textContent = `Download ${megabytes(planBytes(this.plan))} MB and start`;
  }

  /** @param {LoadEvent} event */
  #showProgress(event) {
    const bar = byRole('progress', HTMLProgressElement);
    const text = part(document, 'progress-text');
    if (event.kind === 'bytes') {
      bar.max = event.total_bytes || 1;
      bar.value = event.loaded_bytes;
      text.textContent = `${megabytes(event.loaded_bytes)} of ${megabytes(event.total_bytes)} MB`;
    } else if (event.phase === 'warm-up') {
      bar.removeAttribute('value');
      text.textContent = `${megabytes(planBytes(this.plan))} MB loaded, preparing`;
      say('Preparing the model for its first run…');
    }
  }
}

/** @returns {Promise<SiteManifest | null>} null when it cannot be had: only the size on the button depends on it */
async function fetchSite() {
  const response = await fetch(absolute('manifest.json')).catch(() => null);
  return response?.ok ? response.json().catch(() => null) : null;
}

/** @param {string} url @param {string} name */
async function fetchJson(url, name) {
  const todo = 'Check the connection and try again.';
  const failed = (/** @type {string} */ what, /** @type {unknown} */ cause) =>
    new PageError({ title: 'A part of this page is missing', what: `${name} could not be read: ${what}.`, todo }, cause);
  const response = await fetch(url).catch((error) => {
    throw failed(messageOf(error), error);
  });
  if (!response.ok) throw failed(`the server answered ${response.status} for ${url}`, null);
  return response.json().catch((error) => {
    throw failed('it is not valid JSON', error);
  });
}

/** @param {unknown} error */
const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/** The first line of a message, short enough for a sentence. @param {string} text */
function shorten(text) {
  const line = text.split('\n')[0] ?? '';
  return line.length > 120 ? `${line.slice(0, 117)}…` : line;
}

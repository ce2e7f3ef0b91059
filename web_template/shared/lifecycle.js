/**
 * @file A model's life on a page: offered, loaded, brought back when it breaks, put into a fresh worker before it leaks.
 *
 * Nothing of the model runs on this thread. What is shown is in launch.js.
 */

/** @import { BaseCalls, Call, Capabilities, Manifest, PageConfig, Plan, Query, SiteManifest, Text } from './protocol.js' */
/** @import { Page } from './session.js' */

import { Bridge, isAbort } from './bridge.js';
import { absolute } from './config.js';
import { choosePlan, memoryWarning, planBytes, planLabel, smallerPlan } from './device.js';
import { keptFiles, loadJob, pageFiles } from './job.js';
import { deleteStored, storedBytes } from './keep.js';
import { later, onLanguage, t } from './language.js';
import { Progress, serverReason, serverWords, showConnecting, showOffer, showSent, showStored } from './launch.js';
import { makeOffer } from './offer.js';
import { keepOffline } from './offline.js';
import { breakdown, describeFailure, isMissing } from './problems.js';
import { markEnded, markRunning } from './recovery.js';
import { byRole, clearProblem, keepFocus, megabytes, say, setModelState, setState, showProblem } from './state.js';

/** What ran as long as this has earned another try on the same device. */
const PROVEN_MS = 60_000;

/**
 * @typedef {{
 *   config: PageConfig, query: Query, manifest: Manifest, found: Capabilities, site: SiteManifest | null, crashed: string | null,
 * }} Facts `crashed`: what ran when the last visit ended in a crash
 */

/** @template {BaseCalls & { [name in keyof C]: Call }} C */
export class Session {
  /** @type {Bridge<C> | null} */
  #bridge = null;
  #page;
  #facts;
  #files;
  #settled = false;
  /** Settles when requests may go to the worker again. */
  #open = Promise.resolve();
  #requests = { done: 0, open: 0 };
  /** How often WebGPU has failed since it last proved itself. */
  #failures = 0;
  #loaded_ms = 0;
  #sent_bytes = 0;
  #kept = true;
  /** Worker may not be replaced: it holds what the page cannot put back. */
  pinned = false;
  /** Pictures go to the server, as the visitor has chosen. */
  server = false;

  /** @param {Page<C>} page @param {Facts} facts */
  constructor(page, facts) {
    this.#page = page;
    this.#facts = facts;
    this.config = facts.config;
    this.query = facts.query;
    this.manifest = facts.manifest;
    this.#files = pageFiles(facts.manifest, facts.site);
    /** @type {Plan} */
    this.plan = choosePlan(facts.found, facts.manifest, facts.site, facts.query);
    byRole('start', HTMLButtonElement).onclick = () => void this.load();
    byRole('smaller', HTMLButtonElement).onclick = () => void this.#startSmaller();
    byRole('consent-server', HTMLButtonElement).onclick = () => void this.#useServer(true);
    byRole('cancel', HTMLButtonElement).onclick = () => this.#leave(later('Stopped. What has arrived is kept.'));
    byRole('leave-server', HTMLButtonElement).onclick = () => this.#leave(later('Stopped: nothing is sent any more.'));
    onLanguage(() => this.#show());
    this.#show();
  }

  /** What runs, in short. */
  get label() {
    return this.server ? t('Server') : planLabel(this.plan);
  }

  /** It will probably not fit into the memory that the browser gives to a page. */
  get tight() {
    return memoryWarning(this.#facts.found, this.plan) !== '';
  }

  /** What runs, and on which graphics processor. */
  get device() {
    const { adapter_name } = this.#facts.found;
    return this.server || this.plan.device === 'wasm' || !adapter_name ? this.label : `${this.label} · ${adapter_name}`;
  }

  /** The model, and how much of it there is. */
  get size() {
    const bytes = this.plan.model_files.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
    return this.server ? this.manifest.name : `${this.manifest.name} · ${megabytes(bytes)} MB`;
  }

  /** Wait for the visitor: nothing has been downloaded, and the button says how much will be. @param {Text} [text] */
  offer(text = later('Ready when you are.')) {
    setState('paused');
    setModelState('none');
    say(() => [t(text), ...this.notices].join(' '));
  }

  /** What was asked for and refused, or given up: to be said beside the state, until the page has settled. */
  get notices() {
    return this.#settled ? [] : [...this.query.notices, ...this.plan.notices].map((notice) => t(notice));
  }

  /** The notices have been read long enough. */
  settle() {
    this.#settled = true;
  }

  /** Load the model in a fresh worker; when that fails, recover. */
  async load() {
    clearProblem();
    setState('loading');
    setModelState('none');
    const words = this.server ? later('Connecting to the server…') : later('Loading the model…');
    say(() => [t(words), ...this.notices].join(' '));
    if (!this.server) {
      markRunning(planLabel(this.plan));
      void navigator.storage?.persist?.().catch(() => false);
    }
    try {
      if (!(await this.#connect(this.server ? showConnecting() : new Progress(planBytes(this.plan))))) return;
    } catch (error) {
      if (!isAbort(error)) this.#recover(error); // cancel() has already said so
      return;
    }
    setModelState('loaded');
    setState('ready');
    say(() => [t('The model is ready.'), ...this.notices].join(' '));
    this.#loaded_ms = performance.now();
    void this.#showStored();
    if (!this.server) void keepOffline([...this.plan.runtime_files.map(({ path }) => path), ...Object.values(this.config.sample ?? {})]);
    this.#page.onReady(this);
  }

  /**
   * Ask the worker for something; see Bridge.request. Waits while the worker is being replaced.
   *
   * @template {keyof C & string} T
   * @param {T} type
   * @param {C[T]['payload']} payload
   * @param {Parameters<Bridge<C>['request']>[2] & { onEvent?: (event: C[T]['event']) => void }} [options]
   * @returns {Promise<C[T]['result']>}
   */
  async request(type, payload, options) {
    await this.#open;
    const bridge = this.#bridge;
    if (!bridge) throw new Error('The model is not loaded.');
    this.#requests.open += 1;
    try {
      return await bridge.request(type, payload, options);
    } finally {
      if (bridge === this.#bridge) {
        this.#requests.open -= 1;
        this.#requests.done += 1;
        this.#recycleWhenDue();
      }
    }
  }

  /**
   * The model broke. Goes on with a fresh graphics processor, then on WASM, then offers what is left; the page is called
   * back. A second call for the same breakdown does nothing.
   *
   * @param {unknown} error
   */
  fail(error) {
    if (this.#bridge) this.#recover(error);
  }

  /** @param {unknown} error */
  #recover(error) {
    const was_loaded = document.documentElement.dataset.model === 'loaded';
    this.dispose();
    if (this.#loaded_ms && performance.now() - this.#loaded_ms > PROVEN_MS) this.#failures = 0;
    const missing = isMissing(error); // says nothing about the device, and another would have to fetch as much again
    if (this.plan.device === 'webgpu' && !this.server && !missing) {
      this.#failures += 1;
      if (this.#failures > 1) return void this.#leaveWebGpu(describeFailure(error));
      this.#note(later('WebGPU broke off, so it is started again.'));
      return void this.load();
    }
    showProblem({
      ...breakdown(error, { was_loaded, server: this.server }),
      retry: () => void this.load(),
      other: this.#otherWay(),
    });
  }

  /** From this device to the server, or back. */
  #otherWay() {
    const { server } = this.config;
    if (!server) return null;
    if (this.server && !this.#facts.found.wasm) return null;
    if (!this.server) return { words: serverWords(server), action: later('Use the server'), run: () => void this.#useServer(true) };
    const size = { size: megabytes(planBytes(this.plan)) };
    return { words: '', action: later('Download {size} MB and start', size), run: () => void this.#useServer(false) };
  }

  /** Stop the worker and free its memory. */
  dispose() {
    const bridge = this.#bridge;
    this.#bridge = null;
    bridge?.terminate();
    this.#requests = { done: 0, open: 0 };
    markEnded();
    setModelState('none');
    this.#page.onLost();
  }

  /**
   * Start a worker and load the model into it.
   *
   * @param {Progress | null} progress null: nothing is shown
   * @returns {Promise<boolean>} false: given up meanwhile
   */
  async #connect(progress) {
    const bridge = (this.#bridge = await this.#startBridge());
    const onEvent = (/** @type {import('./protocol.js').LoadEvent} */ event) => {
      if (event.kind === 'kept') this.#kept = event.refused === '';
      else progress?.show(event);
      if (event.kind === 'bytes' && event.loaded_bytes) this.#page.onDownloading?.();
    };
    await bridge.request('load', loadJob(this, this.#facts.site), { onEvent: (event) => onEvent(/** @type {any} */ (event)) });
    if (bridge !== this.#bridge) return false;
    bridge.onBreak = (error) => bridge === this.#bridge && this.fail(error);
    return true;
  }

  /** @returns {Promise<Bridge<C>>} */
  async #startBridge() {
    const { server } = this.config;
    const before = this.#sent_bytes;
    const onSent = (/** @type {number} */ bytes) => showSent((this.#sent_bytes = before + bytes), true);
    if (!this.server || !server || this.#page.worker_asks_server) return Object.assign(new Bridge(this.#page.worker), { onSent });
    const { ServerBridge } = await import('./server.js');
    const bridge = new ServerBridge({ url: server.url, client_url: absolute(server.client), onSent });
    return /** @type {Bridge<C>} */ (/** @type {unknown} */ (bridge)); // it has the same interface
  }

  #recycleWhenDue() {
    const after = this.#page.recycle_after ?? 0;
    const { done, open } = this.#requests;
    if (!after || done < after || open || this.pinned || this.server || !this.#kept) return;
    // On a first visit the service worker does not serve this page yet: the fresh worker would need the network.
    if (!navigator.onLine && !navigator.serviceWorker?.controller) return;
    this.#requests = { done: 0, open: 0 };
    this.#open = this.#recycle();
  }

  /** The old worker goes first: a phone has no room for two. */
  async #recycle() {
    this.#bridge?.terminate();
    try {
      if (await this.#connect(null)) await this.#page.onRecycled?.((...given) => /** @type {Bridge<C>} */ (this.#bridge).request(...given));
    } catch (error) {
      if (!isAbort(error)) this.fail(error);
    }
  }

  /** @param {boolean} wanted */
  async #useServer(wanted) {
    this.server = wanted;
    this.#show();
    await this.load();
  }

  async #startSmaller() {
    const smaller = this.#smaller();
    if (smaller) this.plan = smaller;
    this.#page.onSmaller?.();
    this.#show();
    await this.load();
  }

  /** Back to the offer: nothing runs, nothing is sent. @param {Text} text */
  #leave(text) {
    keepFocus(() => {
      this.dispose();
      this.server = false;
      clearProblem();
      this.#show();
      this.offer(text);
    });
  }

  /** @param {Text} notice */
  #note(notice) {
    this.#settled = false;
    this.plan.notices.push(notice);
  }

  /**
   * Go on with WASM: at once where all that it needs is here, else when the visitor agrees to the download.
   *
   * @param {Text} failure
   */
  async #leaveWebGpu(failure) {
    const { found, manifest, site, query } = this.#facts;
    this.plan = choosePlan(found, manifest, site, query, later('it failed here ({failure})', { failure }));
    const needed = keptFiles(this.plan);
    const here = (await storedBytes(needed)) ?? 0;
    if (here >= needed.reduce((sum, { size_bytes }) => sum + size_bytes, 0)) {
      this.#note(later('WebGPU failed, so this page continues on the processor (WebAssembly).'));
      this.#show();
      return this.load();
    }
    this.#show();
    this.offer(later('WebGPU failed. The processor (WebAssembly) needs another download.'));
  }

  #smaller() {
    const { found, manifest, site } = this.#facts;
    return smallerPlan(found, manifest, site, this.plan);
  }

  #show() {
    const { config, plan, query, server } = this;
    const { crashed, found } = this.#facts;
    const smaller = crashed || this.tight ? (this.#smaller() ?? (crashed && this.#page.onSmaller ? plan : null)) : null;
    byRole('device', HTMLElement).textContent = t(server && config.server ? serverReason(config.server) : found.wasm ? plan.reason : '');
    showOffer(makeOffer({ config, plan, query, found, crashed, smaller, server }));
    showSent(this.#sent_bytes, server);
    void this.#showStored();
  }

  async #showStored() {
    await showStored(this.#files, this.plan, this.#facts.found, () => void this.#delete());
  }

  async #delete() {
    this.#kept = false; // a fresh worker would have to download it all again, unasked
    await deleteStored(absolute('./'), this.#files);
    await this.#page.onDelete?.();
    await this.#showStored();
    say(later('Deleted: nothing of the model is stored here any more.'));
  }
}

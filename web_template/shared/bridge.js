/**
 * @file The page's end of the line to its worker. The worker's end is serve.js; the messages stand in protocol.d.ts.
 *
 * Every request ends in exactly one of three ways: its promise resolves (done), rejects with an AbortError (aborted),
 * or rejects with a WorkerError (error). A worker that dies takes all open requests with it as errors, and
 * `terminate()` turns them into aborts, so that nobody waits for ever.
 *
 * @example
 * const bridge = new Bridge(new URL('./worker.js', import.meta.url));
 * const { text } = await bridge.request('caption', { picture, prompt, max_new_tokens }, { transfer: [picture] });
 */

/** @import { BaseCalls, Call, FromWorker, Notice } from './protocol.js' */

/** A failure inside the worker, with the worker's own stack. */
export class WorkerError extends Error {
  /** @param {{ name: string, message: string, stack: string, detail?: unknown }} remote */
  constructor({ name, message, stack, detail }) {
    super(message);
    this.name = name || 'WorkerError';
    this.remoteStack = stack;
    this.detail = detail;
  }
}

/** @param {unknown} error */
export const isAbort = (error) => error instanceof DOMException && error.name === 'AbortError';

const aborted = () => new DOMException('The request was stopped.', 'AbortError');

/**
 * @typedef {{
 *   resolve: (result: any) => void,
 *   reject: (error: unknown) => void,
 *   onEvent: ((event: any) => void) | undefined,
 *   release: () => void,
 * }} Pending
 */

/** @template {BaseCalls & { [name in keyof C]: Call }} C */
export class Bridge {
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #nextId = 1;
  #worker;
  #name;
  /** Why nothing can be asked any more: the worker broke or was stopped. @type {unknown} */
  #ended = null;
  /** Is told what breaks the worker while nothing is asked, too. @type {(error: unknown) => void} */
  onBreak = () => {};
  /** Is told how many bytes the worker has sent to a server so far. @type {(bytes: number) => void} */
  onSent = () => {};

  /** @param {URL} url of a module worker that calls `serve()` */
  constructor(url) {
    this.#name = `webgpu-demo ${Date.now()} ${Math.random()}`;
    this.#worker = new Worker(url, { type: 'module', name: this.#name });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // it is reported through the requests; the console would show it a second time
      // A script that cannot be fetched gives an event without a message.
      const name = event.message ? 'WorkerError' : 'DownloadError';
      const message = event.message || 'The part of the page that runs the model could not start.';
      this.#fail(new WorkerError({ name, message, stack: '' }));
    };
    this.#worker.onmessageerror = () =>
      this.#fail(new WorkerError({ name: 'DataCloneError', message: 'A message of the worker could not be read.', stack: '' }));
  }

  /**
   * Ask the worker for something.
   *
   * @template {keyof C & string} T
   * @param {T} type
   * @param {C[T]['payload']} payload
   * @param {{ transfer?: Transferable[], signal?: AbortSignal, onEvent?: (event: C[T]['event']) => void }} [options]
   *   An aborted `signal` asks the worker to stop; the promise rejects when the worker has done so.
   * @returns {Promise<C[T]['result']>}
   */
  request(type, payload, { transfer = [], signal, onEvent } = {}) {
    if (this.#ended) return Promise.reject(this.#ended);
    if (signal?.aborted) return Promise.reject(aborted());
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const onAbort = () => this.#worker.postMessage({ id, type: 'abort' });
      signal?.addEventListener('abort', onAbort);
      const release = () => signal?.removeEventListener('abort', onAbort);
      this.#pending.set(id, { resolve, reject, onEvent, release });
      this.#worker.postMessage({ id, type, payload }, transfer);
    });
  }

  /** Stop the worker at once; open requests end as aborted. */
  terminate() {
    this.#worker.terminate();
    this.#fail(aborted());
  }

  /** @param {FromWorker} message */
  #receive(message) {
    if (message.id === 0 && message.kind === 'event') {
      const notice = /** @type {Notice} */ (message.event);
      if (notice.kind === 'lock-held') this.#watch();
      else if (notice.kind === 'sent') this.onSent(notice.bytes);
      else this.#fail(new WorkerError({ name: notice.kind, message: notice.message, stack: '' }));
      return;
    }
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    if (message.kind === 'event') {
      pending.onEvent?.(message.event);
      return;
    }
    this.#pending.delete(message.id);
    pending.release();
    if (message.kind === 'done') pending.resolve(message.result);
    else if (message.kind === 'aborted') pending.reject(aborted());
    else pending.reject(new WorkerError(message));
  }

  /** Notice the worker's death, of which browsers tell nobody: it holds a lock that only death releases. */
  #watch() {
    const words = { name: 'WorkerDied', message: 'The part of the page that runs the model was ended by the browser.', stack: '' };
    void navigator.locks?.request(this.#name, async () => this.#fail(new WorkerError(words))).catch(() => {}); // not in every frame
  }

  /** @param {unknown} error */
  #fail(error) {
    if (this.#ended) return;
    this.#ended = error;
    for (const { reject, release } of this.#pending.values()) {
      release();
      reject(error);
    }
    this.#pending.clear();
    if (!isAbort(error)) this.onBreak(error);
  }
}

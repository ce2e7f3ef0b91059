/**
 * @file The worker's end of the line to its page: takes requests, answers each exactly once.
 *
 * Requests run side by side; whatever must not overlap (onnxruntime runs one graph at a time) is queued further down,
 * by transformers.js itself.
 *
 * @example
 * serve({ async caption({ picture, prompt }, { signal, emit }) { ...; return { text, tokens }; } });
 */

/** @import { BaseCalls, Call, FromWorker, Notice, ToWorker } from './protocol.js' */

/**
 * @template {Call} K
 * @typedef {(payload: K['payload'], context: { signal: AbortSignal, emit: (event: K['event']) => void }) => Promise<K['result']>} Handler
 */

const scope = /** @type {DedicatedWorkerGlobalScope} */ (/** @type {unknown} */ (self));

/** Pictures are handed over, not copied. @param {FromWorker} message */
function post(message) {
  const parts = message.kind === 'done' ? Object.values(message.result ?? {}) : [];
  scope.postMessage(message, parts.filter((part) => part instanceof ImageBitmap));
}

/** Tell the page something that it has not asked for. @param {Notice} event */
export const notify = (event) => post({ id: 0, kind: 'event', event });

/**
 * Answer the page's requests with these handlers. A handler that sees its signal aborted throws the signal's reason.
 *
 * @template {BaseCalls & { [name in keyof C]: Call }} C
 * @param {{ [name in keyof C]: Handler<C[name]> }} handlers
 */
export function serve(handlers) {
  // Held as long as this worker lives: Bridge sees by it when the browser has killed it.
  const hold = () => {
    notify({ kind: 'lock-held' });
    return new Promise(() => {});
  };
  void scope.navigator.locks?.request(scope.name, hold).catch(() => {}); // not in every frame
  /** @type {Map<number, AbortController>} */
  const open = new Map();

  /** @param {number} id @param {string} type @param {unknown} payload */
  async function answer(id, type, payload) {
    const controller = new AbortController();
    open.set(id, controller);
    const { signal } = controller;
    try {
      const handler = /** @type {Record<string, Handler<Call> | undefined>} */ (/** @type {unknown} */ (handlers))[type];
      if (!handler) throw new TypeError(`This worker does not know the request "${type}".`);
      const result = await handler(payload, { signal, emit: (event) => post({ id, kind: 'event', event }) });
      post(signal.aborted ? { id, kind: 'aborted' } : { id, kind: 'done', result });
    } catch (error) {
      if (signal.aborted) post({ id, kind: 'aborted' });
      else post({ id, kind: 'error', ...describe(error) });
    } finally {
      open.delete(id);
    }
  }

  scope.onmessage = ({ data }) => {
    const message = /** @type {ToWorker} */ (data);
    if (message.type === 'abort') open.get(message.id)?.abort();
    else void answer(message.id, message.type, 'payload' in message ? message.payload : undefined);
  };
}

/**
 * Put a thrown value into words. onnxruntime throws bare numbers when WebAssembly runs out of memory.
 *
 * @param {unknown} error
 * @returns {{ name: string, message: string, stack: string, detail?: unknown }} `detail` is what the error itself carries
 */
function describe(error) {
  if (error instanceof Error) {
    return { name: error.name, message: error.message, stack: error.stack ?? '', detail: 'detail' in error ? error.detail : undefined };
  }
  if (typeof error === 'number') {
    return { name: 'RuntimeStopped', message: `The model runtime stopped with code ${error}, probably for lack of memory.`, stack: '', detail: error };
  }
  return { name: 'Error', message: String(error), stack: '' };
}

/**
 * @file A server in place of the worker: the same requests, answered by the Gradio app that runs the same ONNX files.
 *
 * For browsers that cannot run the model, and only after the visitor has agreed: what is asked leaves this device. The
 * camera page uses it in the worker's place, photo-search's worker in the place of its graphs. A picture is brought to the model's size here, so that no more of it is sent than the model looks at, and it travels
 * inside the request, so that the server never writes it to its disk. `sentBytes` counts all that was sent.
 *
 * Every failure is a `ServerError` with a sentence for the visitor.
 *
 * @example
 * const bridge = new ServerBridge({ url, client_url, onSent: (bytes) => show(bytes) });
 * await bridge.request('load', job);
 * const { text } = await bridge.request('caption', { picture, prompt, max_new_tokens }, { onEvent });
 */

/** @import { ImageFacts, Later, LoadEvent, RgbPicture, ServerCalls, Turn } from './protocol.js' */
/** @typedef {import('@gradio/client').Client} Client */
/** @typedef {{ client: Client, name: string, image: ImageFacts }} Connection */
/** @typedef {{ signal: AbortSignal | undefined, onEvent: ((event: any) => void) | undefined }} Options */

import { readPicture } from './picture.js';
import { firstSentence } from './sentences.js';

/** A picture of the model's size goes without loss up to this size, as a JPEG beyond it. */
const LOSSLESS_BYTES = 150_000;
const JPEG_QUALITY = 0.92;

/** As in language.js, which needs a page: this file works in workers, too. @param {string} text @param {Record<string, string>} [values] @returns {Later} */
const later = (text, values = {}) => ({ text, values });

/**
 * `name` is one of `ServerBusy` (try again in a moment), `ServerQuota` (the visitor's share is used up),
 * `ServerUnreachable`, `ServerChanged` (another model answers there) and `ServerRefused` (all else).
 */
export class ServerError extends Error {
  /** @param {string} name @param {Later} detail for the visitor, in the language of whenever it is shown @param {unknown} [cause] */
  constructor(name, detail, cause) {
    super(detail.text.replace(/\{(\w+)\}/g, (_, value) => String(detail.values?.[value] ?? '')), { cause });
    this.name = name;
    this.detail = detail;
  }
}

const aborted = () => new DOMException('The request was stopped.', 'AbortError');

/** Has the interface of Bridge in bridge.js. */
export class ServerBridge {
  /** Bytes of all requests so far. */
  sentBytes = 0;
  #url;
  #client_url;
  #onSent;
  /** @type {Promise<Connection> | null} */
  #connection = null;
  /** Ends every open request. @type {Set<() => void>} */
  #stops = new Set();
  #ended = false;

  /**
   * @param {{ url: string, client_url: string, onSent?: (bytes: number) => void }} options
   *   `url` of the Gradio app, absolute; `client_url`: the absolute address of gradio-client.min.js;
   *   `onSent` is told the value of `sentBytes` whenever it grows
   */
  constructor({ url, client_url, onSent }) {
    this.#url = url;
    this.#client_url = client_url;
    this.#onSent = onSent;
  }

  /**
   * Ask the server for something.
   *
   * @template {keyof ServerCalls & string} T
   * @param {T} type
   * @param {ServerCalls[T]['payload']} payload its picture is closed when it has been read
   * @param {{ transfer?: Transferable[], signal?: AbortSignal, onEvent?: (event: ServerCalls[T]['event']) => void }} [options]
   *   An aborted `signal` stops the server's work as well.
   * @returns {Promise<ServerCalls[T]['result']>}
   */
  async request(type, payload, { signal, onEvent } = {}) {
    if (this.#ended || signal?.aborted) throw aborted();
    const options = { signal, onEvent };
    const given = /** @type {any} */ (payload);
    if (type === 'load') return this.#load(given, options);
    if (type === 'caption') return this.#caption(given, options);
    if (type === 'ask') return { ...(await this.#caption(given, options)), reused_tokens: 0 };
    if (type === 'embed') return this.#embed(given, options);
    throw new Error(`The server knows no ${type}.`);
  }

  /** Stop whatever runs and close the connection; open requests end as aborted. */
  terminate() {
    this.#ended = true;
    for (const stop of this.#stops) stop();
    this.#connection?.then(({ client }) => client.close(), () => {});
    this.#connection = null;
  }

  /** @param {ServerCalls['load']['payload']} job @param {Options} options @returns {Promise<ServerCalls['load']['result']>} */
  async #load(job, options) {
    const started = performance.now();
    /** @type {LoadEvent} */
    const event = { kind: 'phase', phase: 'warm-up' };
    options.onEvent?.(event);
    const { name } = await this.#connect();
    if (this.#ended || options.signal?.aborted) throw aborted();
    if (name !== job.manifest.name) {
      const values = { host: this.#host, name, expected: job.manifest.name };
      const what = later('The server at {host} answers with the model {name}, and this page is made for {expected}.', values);
      throw new ServerError('ServerChanged', what);
    }
    return { load_ms: performance.now() - started };
  }

  /**
   * @param {ServerCalls['caption']['payload'] & { history?: Turn[] }} payload @param {Options} options
   * @returns {Promise<ServerCalls['caption']['result']>}
   */
  async #caption({ picture, prompt, max_new_tokens, brief = false, history = [] }, options) {
    const started = performance.now();
    let [shown, tokens, first_token_ms] = ['', 0, 0];
    const { image } = await this.#connect();
    const url = await encode(readPicture(picture, image, /** @type {any} */ (Pixels)));
    picture.close();
    const sent = { path: null, url, orig_name: null, meta: { _type: 'gradio.FileData' } };
    const data = { picture: sent, question: prompt, max_new_tokens, ...(history.length ? { history } : {}) };
    const enough = () => brief && firstSentence(shown) !== '';
    const answer = await this.#run('/answer', data, { ...options, enough }, ([text, figures]) => {
      tokens = figures?.tokens ?? tokens;
      first_token_ms ||= performance.now() - started;
      // Pieces, as the worker sends them; the last value has no blanks around it and may be no continuation.
      if (text.length > shown.length && text.startsWith(shown)) {
        options.onEvent?.({ kind: 'text', text: text.slice(shown.length) });
        shown = text;
      }
      return text;
    });
    const text = (brief && firstSentence(answer, true)) || answer.trim();
    return { text, tokens, first_token_ms, total_ms: performance.now() - started, cut: tokens >= max_new_tokens && !enough() };
  }

  /** @param {ServerCalls['embed']['payload']} payload @param {Options} options @returns {Promise<ServerCalls['embed']['result']>} */
  async #embed({ pictures, texts }, options) {
    const data = { pictures: await Promise.all(pictures.map(encode)), texts };
    const rows = /** @type {number[][]} */ (await this.#run('/embed', data, options, ([vectors]) => vectors));
    return { vectors: rows.map((row) => Float32Array.from(row)) };
  }

  /**
   * Call an endpoint; every answer of a stream goes through `take`, and what the last one made of it comes back.
   *
   * @template R
   * @param {string} endpoint @param {Record<string, unknown>} data @param {Options & { enough?: () => boolean }} options
   *   `enough`: the rest of the stream is not wanted
   * @param {(values: any[]) => R} take
   * @returns {Promise<R>}
   */
  async #run(endpoint, data, { signal, enough }, take) {
    const { client } = await this.#connect();
    if (this.#ended || signal?.aborted) throw aborted();
    /** @type {ReturnType<Client['submit']>} */
    let call;
    try {
      call = client.submit(endpoint, data);
    } catch (error) { // it has no such endpoint, or one that takes other things
      throw this.#inWords(error instanceof Error ? error.message : '');
    }
    let stopped = false;
    const cancel = () => {
      void call.wait_for_id().then(() => call.cancel(), () => {});
      void call.return();
    };
    const stop = () => {
      stopped = true;
      cancel();
    };
    signal?.addEventListener('abort', stop);
    this.#stops.add(stop);
    /** @type {R[]} */
    let last = [];
    try {
      for await (const event of call) {
        if (stopped) break;
        if (event.type === 'data') {
          last = [take(/** @type {any[]} */ (event.data))];
          if (!enough?.()) continue;
          cancel();
          break;
        }
        if (event.type === 'status' && event.stage === 'error') throw this.#inWords(event.message);
        if (event.type === 'status' && event.stage === 'complete') break;
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#stops.delete(stop);
    }
    if (stopped) throw aborted();
    if (!last.length) throw this.#inWords('');
    return /** @type {R} */ (last[0]);
  }

  /** @returns {Promise<Connection>} the one that there is, or a new one */
  #connect() {
    this.#connection ??= this.#open().catch((error) => {
      this.#connection = null;
      throw error;
    });
    return this.#connection;
  }

  /** @returns {Promise<Connection>} */
  async #open() {
    /** @type {typeof import('@gradio/client')} */
    const { Client } = await import(this.#client_url).catch((error) => {
      throw new ServerError('ServerUnreachable', later('The part of this page that speaks to the server could not be loaded. Reload the page.'), error);
    });
    const client = await Client.connect(this.#url, { events: ['data', 'status'], record_history: false }).catch((error) => {
      throw this.#unreachable(error);
    });
    this.#count(client);
    const { data } = await client.predict('/health', {}).catch((error) => {
      throw this.#unreachable(error);
    });
    const [{ name, image }] = /** @type {[{ name: string, image: ImageFacts }]} */ (data);
    return { client, name, image };
  }

  /** Count the bytes of every request body. @param {Client} client */
  #count(client) {
    const plain = client.fetch;
    client.fetch = (input, init) => {
      if (init?.body) {
        this.sentBytes += new Blob([/** @type {string} */ (init.body)]).size;
        this.#onSent?.(this.sentBytes);
      }
      return plain(input, init);
    };
  }

  get #host() {
    return new URL(this.#url).host;
  }

  /** @param {unknown} [cause] */
  #unreachable(cause) {
    const values = { host: this.#host };
    const what = later('The server at {host} cannot be reached. It may be asleep or switched off: check the connection, and try again in a minute.', values);
    return new ServerError('ServerUnreachable', what, cause);
  }

  /** @param {unknown} message of the server, or of the client about it */
  #inWords(message) {
    const text = typeof message === 'string' ? message.trim() : '';
    if (/busy|queue is full|too many requests/i.test(text)) {
      return new ServerError('ServerBusy', later('The server is busy: too many others are waiting. Try again in a moment.'), text);
    }
    if (/quota/i.test(text)) {
      const what = later('The free time that this server gives to each visitor is used up for now. Try again later, or sign in at huggingface.co.');
      return new ServerError('ServerQuota', what, text);
    }
    if (/connection errored|failed to fetch|networkerror|load failed|broken/i.test(text)) {
      this.#connection = null;
      return this.#unreachable(text);
    }
    const unknown = later('The server could not answer this. Try again, or with another picture.');
    return new ServerError('ServerRefused', text ? later('The server says: {text}', { text }) : unknown, text);
  }
}

/** What readPicture makes a picture of; the class of transformers.js, which is not loaded here, would do as well. */
export class Pixels {
  /** @param {Uint8ClampedArray | Uint8Array} data RGB @param {number} width @param {number} height */
  constructor(data, width, height) {
    Object.assign(this, { data, width, height });
  }
}

/** A picture of the model's size as a `data:` address. @param {RgbPicture} picture @returns {Promise<string>} */
async function encode({ data, width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (!context) throw new ServerError('ServerRefused', later('This browser has no 2D canvas.'));
  context.putImageData(new ImageData(withAlpha(data), width, height), 0, 0);
  let blob = await canvas.convertToBlob({ type: 'image/png' });
  if (blob.size > LOSSLESS_BYTES) blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: JPEG_QUALITY });
  return dataAddress(blob);
}

/** @param {Uint8ClampedArray | Uint8Array} rgb */
function withAlpha(rgb) {
  const rgba = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) rgba.set(rgb.subarray(from, from + 3), to);
  return rgba;
}

/** @param {Blob} blob @returns {Promise<string>} */
function dataAddress(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(/** @type {string} */ (reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/**
 * @file Where an index is read from: a file, memory, or an address that is read by ranges.
 */

import { IndexError } from './index-layout.js';

/**
 * @typedef {object} Source
 * @property {number} size bytes of the whole file
 * @property {(offset: number, length: number) => Promise<Uint8Array<ArrayBuffer>>} read exactly these bytes
 * @property {boolean} remote every reading is a request
 */

/** Bytes of the first request of a remote file: the header, and what fits beside it of the names. */
const FIRST_BYTES = 1 << 16;
/** A server that knows no ranges sends everything: up to this many bytes that is bearable. */
const MOST_WITHOUT_RANGES = 256e6;
const ATTEMPTS = 3;
const PAUSE_MS = 400;
/** Parts of a section under way at a time. */
const ABREAST = 2;

/**
 * @param {Blob | ArrayBuffer | Uint8Array | string} from a string is an address
 * @param {AbortSignal} [signal]
 * @returns {Promise<Source>}
 * @throws {IndexError} with the code 'network' when the file cannot be reached
 */
export async function openSource(from, signal) {
  if (typeof from === 'string') return openAddress(from, signal);
  if (from instanceof Blob) return { size: from.size, remote: false, read: (at, length) => readBlob(from, at, length) };
  return inMemory(from instanceof Uint8Array ? new Uint8Array(/** @type {ArrayBuffer} */ (from.buffer), from.byteOffset, from.length) : new Uint8Array(from));
}

/** @param {Blob} file @param {number} at @param {number} length */
async function readBlob(file, at, length) {
  try {
    return new Uint8Array(await file.slice(at, at + length).arrayBuffer());
  } catch (error) {
    // It was changed or taken away since it was chosen, or lies on a device that has gone.
    throw new IndexError('network', 'The file of this index can be read no more. Choose it again.', { cause: error });
  }
}

/** @param {Uint8Array<ArrayBuffer>} bytes @returns {Source} */
const inMemory = (bytes) => ({ size: bytes.length, remote: false, read: async (at, length) => bytes.subarray(at, at + length) });

/** @param {string} url @param {AbortSignal} [signal] @returns {Promise<Source>} */
async function openAddress(url, signal) {
  const first = await requestRange(url, 0, FIRST_BYTES, signal);
  if (first.status === 416) throw new IndexError('damaged', 'This file is no index of photos.'); // it is empty
  if (first.status === 200) {
    if (Number(first.headers.get('content-length')) > MOST_WITHOUT_RANGES) {
      await first.body?.cancel();
      throw new IndexError('network', 'The server of this collection sends no parts of a file, and the whole is too large.');
    }
    return inMemory(await readBody(first));
  }
  const size = Number(/\/(\d+)$/.exec(first.headers.get('content-range') ?? '')?.[1] ?? NaN);
  // A server of another origin has to allow this header to be seen.
  if (!Number.isSafeInteger(size)) throw new IndexError('network', 'The server of this collection does not say how long its index is.');
  const etag = first.headers.get('etag');
  const start = await readBody(first);
  return {
    size,
    remote: true,
    async read(at, length) {
      if (at + length <= start.length) return start.subarray(at, at + length);
      if (!length) return new Uint8Array();
      for (let attempt = 1; ; attempt++) {
        try {
          const response = await requestRange(url, at, length, signal);
          const changed = response.headers.get('etag') !== etag;
          if (response.status !== 206 || changed) throw new IndexError('network', 'The index changed while it was read. Load this page again.');
          const bytes = await readBody(response);
          if (bytes.length === length) return bytes;
          throw new IndexError('network', 'The server of this collection sent too little.');
        } catch (error) {
          if (signal?.aborted || attempt === ATTEMPTS) throw error;
          await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * attempt));
        }
      }
    },
  };
}

/**
 * Read a section in parts; the first ones are asked for at once, before anybody takes one.
 *
 * @param {Source} source
 * @param {{ offset: number, length: number }} section
 * @param {number} partBytes
 * @returns {() => Promise<Uint8Array<ArrayBuffer>> | undefined} gives the next part, and asks for another
 */
export function readInParts(source, { offset, length }, partBytes) {
  /** @type {Promise<Uint8Array<ArrayBuffer>>[]} */
  const coming = [];
  let asked = 0;
  const ask = () => {
    for (; asked < length && coming.length < ABREAST; asked += partBytes) {
      const part = source.read(offset + asked, Math.min(partBytes, length - asked));
      part.catch(() => {}); // whoever takes it is told
      coming.push(part);
    }
  };
  ask();
  return () => {
    const next = coming.shift();
    ask();
    return next;
  };
}

/** @param {string} url @param {number} at @param {number} length @param {AbortSignal} [signal] */
async function requestRange(url, at, length, signal) {
  let response;
  try {
    response = await fetch(url, { headers: { range: `bytes=${at}-${at + length - 1}` }, signal: signal ?? null });
  } catch (error) {
    throw signal?.aborted ? error : new IndexError('network', 'The index of this collection could not be reached.', { cause: error });
  }
  if (response.ok || response.status === 416) return response;
  throw new IndexError('network', `The index of this collection could not be read: the server answered ${response.status}.`);
}

/** @param {Response} response */
async function readBody(response) {
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new IndexError('network', 'The connection broke off while the index was read.', { cause: error });
  }
}

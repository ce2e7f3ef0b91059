/**
 * @file Worker only: fetches files so that they arrive: in parallel, from where they broke off, checked by their checksums.
 *
 * Start reading at `downloadAll`. A lost connection is waited for; what no waiting mends is a `DownloadError`, whose
 * `detail` the page puts into words. Checksums are crypto.subtle's, over a file as a whole: the browser's own code is
 * several times as fast as any script, no library is needed, and no file is larger than what onnxruntime takes into
 * memory in one piece anyway (builder/quantize cuts graphs at 256 MiB).
 */

/** @import { FileEntry, LoadEvent, DownloadProblem } from './protocol.js' */
/** @import { Keep } from './keep.js' */
/** @typedef {FileEntry & { url: string, script: boolean }} Wanted `script`: imported later, so not kept here but in the browser's own cache */

import { pieceBytes } from './keep.js';

const LANES = 3;
const MOST_FAILURES = 6;
const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = [500, 15_000];
/** No byte for so long: the connection is dead, whatever the browser says. */
const STALLED_MS = 30_000;
/** A session may have been made meanwhile, which lets no byte in: what has come is then read first. */
const GRACE_MS = 1000;
const [REPORT_EVERY_MS, SPEED_OVER_MS] = [150, 5000];
const BUSY = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A file could not be had: no fault of the device, and no other would help. The page knows it by its name. */
export class DownloadError extends Error {
  name = 'DownloadError';
  /** @param {DownloadProblem} detail */
  constructor(detail) {
    super(`${detail.path} could not be downloaded (${detail.problem}${detail.status ? ` ${detail.status}` : ''}).`);
    this.detail = detail;
  }
}

/**
 * Fetch what is not kept yet, in this order; when this returns, every file is whole and right.
 *
 * @param {Wanted[]} files
 * @param {Keep} keep
 * @param {(event: LoadEvent) => void} emit
 * @param {(file: Wanted) => void} [onArrival] called with each file as soon as it is whole and right
 */
export async function downloadAll(files, keep, emit, onArrival = () => {}) {
  const ended = new AbortController();
  // One of several with the same contents will do.
  const different = [...new Map(files.map((file) => [file.sha256, file])).values()];
  const waiting = [...different];
  const meter = new Meter(different, emit);
  const lane = async () => {
    for (let file = waiting.shift(); file && !ended.signal.aborted; file = waiting.shift()) {
      await new Download(file, keep, meter, ended.signal).run();
      onArrival(file);
    }
  };
  try {
    await Promise.all(Array.from({ length: LANES }, lane));
  } finally {
    ended.abort();
  }
}

class Download {
  #file;
  #keep;
  #meter;
  #signal;
  /** Bytes that have come since the last piece was kept. @type {Uint8Array<ArrayBuffer>} */
  #tail;
  #tail_bytes = 0;
  /** The piece that is being stored; the next one waits for it, the connection does not. */
  #storing = Promise.resolve();
  /** How much of a script has come. */
  #passed_bytes = 0;

  /** @param {Wanted} file @param {Keep} keep @param {Meter} meter @param {AbortSignal} signal */
  constructor(file, keep, meter, signal) {
    this.#file = file;
    this.#keep = keep;
    this.#meter = meter;
    this.#signal = signal;
    this.#tail = new Uint8Array(file.script ? 0 : Math.min(pieceBytes(file.size_bytes), file.size_bytes));
  }

  get #position() {
    return this.#file.script ? this.#passed_bytes : this.#keep.heldBytes(this.#file) + this.#tail_bytes;
  }

  async run() {
    const file = this.#file;
    if (file.script) return this.#fill();
    for (let again = false; ; again = true) {
      this.#meter.update(file, this.#position);
      if (this.#keep.isSealed(file)) return;
      await this.#fill();
      await this.#storing;
      if (await isRight(file, this.#keep)) return this.#keep.seal(file);
      await this.#forget();
      if (again) throw new DownloadError({ path: file.path, problem: 'damaged' });
    }
  }

  async #forget() {
    this.#tail_bytes = this.#passed_bytes = 0;
    await this.#storing;
    await this.#keep.drop(this.#file);
  }

  /** Fetch until all bytes are here; give up after some attempts in a row without any. */
  async #fill() {
    const { path, size_bytes } = this.#file;
    let failures = 0;
    while (this.#position < size_bytes || size_bytes === 0) {
      const before = this.#position;
      try {
        await this.#fetch();
        if (this.#position >= size_bytes) return;
      } catch (error) {
        if (error instanceof DownloadError || this.#signal.aborted) throw error;
      }
      failures = this.#position > before ? 0 : failures + 1;
      if (failures >= MOST_FAILURES && navigator.onLine) throw new DownloadError({ path, problem: 'connection' });
      this.#meter.wait(path);
      await untilConnected(Math.min(FIRST_WAIT_MS * 2 ** failures, LONGEST_WAIT_MS), this.#signal);
    }
  }

  async #fetch() {
    const { url, path, script } = this.#file;
    const start = this.#position;
    const stalled = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => (timer = setTimeout(() => stalled.abort(), GRACE_MS)), STALLED_MS);
    };
    watch();
    try {
      const response = await fetch(url, {
        headers: start && !script ? { Range: `bytes=${start}-` } : {},
        // Kept here and nowhere else: the browser's own cache would take the room twice, and give a damaged file again.
        cache: script || this.#keep.refused ? 'default' : 'no-store',
        signal: AbortSignal.any([this.#signal, stalled.signal]),
      });
      if (response.status === 416) await this.#forget();
      if (BUSY.has(response.status) || response.status === 416) throw new Error(`the server answered ${response.status}`);
      if (!response.ok) throw new DownloadError({ path, problem: 'refused', status: response.status });
      const isPage = response.headers.get('content-type')?.includes('text/html') ?? false;
      if (isPage) throw new DownloadError({ path, problem: 'page' }); // a host that answers everything with its front page
      // A server may ignore the wish for a range; what is here already is then passed over.
      let passOver = response.status === 206 ? 0 : script ? 0 : start;
      if (script) this.#passed_bytes = 0;
      const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        watch();
        const known = Math.min(passOver, value.byteLength);
        passOver -= known;
        if (known < value.byteLength) await this.#take(value.subarray(known));
      }
    } finally {
      clearTimeout(timer);
      stalled.abort();
    }
  }

  /** @param {Uint8Array} bytes */
  async #take(bytes) {
    const file = this.#file;
    const room = file.size_bytes - this.#position;
    this.#meter.came(bytes.byteLength);
    if (file.script) this.#passed_bytes += bytes.byteLength;
    else {
      // More than there should be: the checksum will be wrong whatever is kept.
      for (let rest = bytes.subarray(0, room); rest.byteLength; ) {
        const now = rest.subarray(0, this.#tail.byteLength - this.#tail_bytes);
        this.#tail.set(now, this.#tail_bytes);
        this.#tail_bytes += now.byteLength;
        rest = rest.subarray(now.byteLength);
        if (this.#tail_bytes === this.#tail.byteLength || this.#position === file.size_bytes) await this.#keepTail();
      }
    }
    this.#meter.update(file, this.#position);
  }

  async #keepTail() {
    const piece = this.#tail.slice(0, this.#tail_bytes);
    const start = this.#keep.heldBytes(this.#file);
    this.#tail_bytes = 0;
    await this.#storing;
    this.#storing = this.#keep.add(this.#file, start, piece);
  }
}

/** @param {Wanted} file @param {Keep} keep */
async function isRight(file, keep) {
  const bytes = await keep.read(file).catch(() => null);
  if (!bytes || !globalThis.crypto?.subtle) return bytes !== null; // plain http has no checksums; the length is right
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('') === file.sha256;
}

/** Wait; at most until the connection comes back. @param {number} longest_ms @param {AbortSignal} signal @returns {Promise<void>} */
function untilConnected(longest_ms, signal) {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      self.removeEventListener('online', end);
      signal.removeEventListener('abort', end);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(end, longest_ms);
    self.addEventListener('online', end);
    signal.addEventListener('abort', end);
  });
}

/** Adds up the bytes of all files, and says how fast they come. */
class Meter {
  /** @type {Map<string, number>} */
  #loaded = new Map();
  #total_bytes;
  #emit;
  #reported_ms = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #later;
  /** When how many bytes came over the connection, of the last seconds. @type {{ at_ms: number, bytes: number }[]} */
  #arrivals = [];

  /** @param {Wanted[]} files @param {(event: LoadEvent) => void} emit */
  constructor(files, emit) {
    this.#total_bytes = files.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
    this.#emit = emit;
  }

  /** @param {number} bytes */
  came(bytes) {
    this.#arrivals.push({ at_ms: performance.now(), bytes });
  }

  /** @param {string} path */
  wait(path) {
    clearTimeout(this.#later); // the page would take it for a sign of life
    this.#later = undefined;
    this.#arrivals = [];
    this.#emit({ kind: 'waiting', path });
  }

  /** @param {Wanted} file @param {number} loaded_bytes */
  update({ path, size_bytes }, loaded_bytes) {
    this.#loaded.set(path, Math.min(loaded_bytes, size_bytes));
    const sum = [...this.#loaded.values()].reduce((total, bytes) => total + bytes, 0);
    const wait_ms = sum < this.#total_bytes ? this.#reported_ms + REPORT_EVERY_MS - performance.now() : 0;
    if (wait_ms <= 0) this.#report();
    else this.#later ??= setTimeout(() => this.#report(), wait_ms); // what has come is told also when nothing follows
  }

  #report() {
    clearTimeout(this.#later);
    this.#later = undefined;
    const now = (this.#reported_ms = performance.now());
    const sum = [...this.#loaded.values()].reduce((total, bytes) => total + bytes, 0);
    const recent = (this.#arrivals = this.#arrivals.filter(({ at_ms }) => now - at_ms < SPEED_OVER_MS));
    const over_ms = now - (recent[0]?.at_ms ?? now);
    const bytes_per_second = over_ms < 500 ? 0 : recent.reduce((total, { bytes }) => total + bytes, 0) / (over_ms / 1000);
    this.#emit({ kind: 'bytes', loaded_bytes: sum, total_bytes: this.#total_bytes, bytes_per_second });
  }
}

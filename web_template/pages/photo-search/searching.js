/**
 * @file What is searched for: a sentence with marks, examples, filters; the newest search counts, and the address of the
 * page holds it.
 */

/** @import { PhotoCalls, PhotoFilter } from '../../shared/protocol.js' */
/** @import { Session } from '../../shared/session.js' */
/** @typedef {PhotoCalls['search']['result']} Found */

import { isAbort } from '../../shared/bridge.js';
import { parseQuery } from './terms.js';

const SEARCH_AFTER_MS = 250;

/** @typedef {{ id: number, row: number | null, picture: File | null, name: string, url: string }} Example `url`: empty until the worker has made a small one of it */

/**
 * @typedef {{
 *   session: () => Session<PhotoCalls> | null,
 *   filter: () => PhotoFilter,
 *   onStart: () => void,
 *   onFound: (found: Found) => void,
 *   onBrowse: (rows: Uint32Array) => void,
 *   onExample: () => void,
 *   onFailed: (name: string) => void,
 * }} Page `onExample`: a picture to search with can be shown; `onFailed`: one of this name cannot be read, and is gone
 */

export class Searching {
  /** @type {Example[]} */
  examples = [];
  #page;
  #field;
  #newest = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #next = 1;

  /** @param {HTMLInputElement} field @param {Page} page */
  constructor(field, page) {
    this.#field = field;
    this.#page = page;
    field.addEventListener('input', () => this.soon(this.text ? SEARCH_AFTER_MS : 0));
    field.form?.addEventListener('submit', (event) => {
      event.preventDefault(); // CSP's form-action 'none' forbids it anyway
      void this.run();
    });
  }

  get text() {
    return this.#field.value.trim();
  }

  get terms() {
    return parseQuery(this.text);
  }

  /** Whether there is anything to search for; if not, the album is shown. */
  get asks() {
    return this.terms.length > 0 || this.examples.length > 0;
  }

  /** @param {number} [after_ms] */
  soon(after_ms = SEARCH_AFTER_MS) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.run(), after_ms);
  }

  /** @param {{ row?: number, picture?: File, name: string, url: string }} example @param {boolean} [only] in place of everything else */
  addExample({ row, picture, name, url }, only = false) {
    if (only) {
      this.clearExamples();
      this.#field.value = '';
    }
    if (row !== undefined && this.examples.some((example) => example.row === row)) return;
    this.examples.push({ id: this.#next++, row: row ?? null, picture: picture ?? null, name, url });
  }

  /** @param {number} id */
  dropExample(id) {
    const example = this.examples.find((each) => each.id === id);
    if (example?.picture) URL.revokeObjectURL(example.url);
    this.examples = this.examples.filter((each) => each.id !== id);
  }

  clearExamples() {
    for (const { id } of [...this.examples]) this.dropExample(id);
  }

  /** Row numbers mean something else from now on. */
  forgetRows() {
    this.examples = this.examples.filter(({ row }) => row === null);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#newest.abort();
  }

  /** Search, or show the album; an older search that is still under way counts no more. */
  async run() {
    this.stop();
    this.#writeAddress();
    const session = this.#page.session();
    if (!session) return;
    this.#newest = new AbortController();
    const { signal } = this.#newest;
    const filter = this.#page.filter();
    try {
      if (!this.asks) {
        const { rows } = await session.request('browse', { filter }, { signal });
        if (!signal.aborted) this.#page.onBrowse(rows);
        return;
      }
      this.#page.onStart();
      const pictures = this.examples.flatMap(({ id, picture: file }) => (file ? [{ id, file }] : []));
      const query = { terms: this.terms, rows: this.examples.flatMap(({ row }) => (row === null ? [] : [row])), pictures };
      const found = await session.request('search', { query, filter }, { signal, onEvent: (event) => event.kind === 'example' && this.#showExample(event) });
      if (!signal.aborted) this.#page.onFound(found);
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      if (error instanceof Error && error.name === 'UnreadableExample') await this.#fail(Number(/** @type {{ detail?: unknown }} */ (error).detail));
      else session.fail(error);
    }
  }

  /** @param {PhotoCalls['search']['event']} event */
  #showExample({ id, thumbnail }) {
    const example = this.examples.find((each) => each.id === id);
    if (!example) return;
    example.url = URL.createObjectURL(thumbnail);
    this.#page.onExample();
  }

  /** Search without a picture that cannot be read, and say so when all else is said. @param {number} id */
  async #fail(id) {
    const { name = '' } = this.examples.find((each) => each.id === id) ?? {};
    this.dropExample(id);
    await this.run();
    this.#page.onFailed(name);
  }

  /** The address can be kept and sent; pictures are not part of it. */
  #writeAddress() {
    const address = new URL(location.href);
    const { from, to, folder, tag } = this.#page.filter();
    const day = (/** @type {number | null} */ ms) => (ms === null ? '' : new Date(ms).toISOString().slice(0, 10));
    const values = { q: this.text, from: day(from), to: day(to), folder, tag };
    for (const [name, value] of Object.entries(values)) {
      if (value) address.searchParams.set(name, value);
      else address.searchParams.delete(name);
    }
    if (address.href !== location.href) history.replaceState(history.state, '', address);
  }
}

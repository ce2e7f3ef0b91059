/**
 * @file Reads photos into the album: what arrives is compared with what is there, the rest goes to the worker, and the
 * page says how far it is. It can be paused, stopped, and goes on after a reload, a crash or a failed model.
 *
 * A hidden page goes on reading: an album takes minutes to hours, and nobody watches that long. Workers are not slowed
 * when a page is hidden, as timers are. Where the system ends hidden pages, as phones do, the next visit goes on.
 */

/** @import { PhotoCalls, PhotoItem, PhotoOrigin } from '../../shared/protocol.js' */
/** @import { Session } from '../../shared/session.js' */
/** @import { Arrival } from './intake.js' */
/** @import { Pictures } from './pictures.js' */

import { isAbort } from '../../shared/bridge.js';
import { t } from '../../shared/language.js';
import { byRole, clearProblem, part, say, setState } from '../../shared/state.js';
import { durationWords, listWords, numberWords } from './wording.js';

/** The speed is that of the last seconds: the first photos are slower, and a pause is no slowness. */
const SPEED_OVER_MS = 20_000;
/** Files that could not be read are named up to this many; all are counted. */
const MOST_NAMED = 500;
/** How often the album on screen follows a run. */
const SHOW_EVERY_MS = 1500;

/** Why a run ended: the visitor's wish. Whatever else ends it, it goes on with the next model. */
const PAUSED = new DOMException('The visitor paused it.', 'AbortError');
const STOPPED = new DOMException('The visitor stopped it.', 'AbortError');

/**
 * @typedef {{
 *   pictures: Pictures,
 *   onGrown: () => Promise<void>,
 *   onSettled: (words: string, leftOut: string) => void,
 * }} Surroundings `onGrown`: there are more photos; `onSettled`: nothing is being read any more; `leftOut`: what was not taken
 */

export class Indexing {
  /** @type {Session<PhotoCalls> | null} */
  #session = null;
  #around;
  /** @type {PhotoItem[]} */
  #queue = [];
  /** Folders whose photos are in the queue. @type {Map<string, Omit<PhotoOrigin, 'space'>>} */
  #origins = new Map();
  /** All that came in this visit: a model that failed takes an album without storage with it. @type {Arrival[]} */
  #arrivals = [];
  #running = false;
  #paused = false;
  #run = new AbortController();
  #done = 0;
  #all = 0;
  /** @type {{ at_ms: number, done: number }[]} */
  #marks = [];
  /** Path → why. @type {Map<string, string>} */
  #unreadable = new Map();
  #leftOut = '';
  #shown_ms = 0;
  #unsaved = '';
  #problems = byRole('unreadable', HTMLDetailsElement);
  #bar = byRole('index-progress', HTMLProgressElement);
  #pauseButton = byRole('pause-indexing', HTMLButtonElement);

  /** @param {Surroundings} around */
  constructor(around) {
    this.#around = around;
    this.#pauseButton.onclick = () => (this.#paused ? void this.resume() : this.#run.abort(PAUSED));
    byRole('stop', HTMLButtonElement).onclick = () => this.#stop();
  }

  get busy() {
    return this.#running;
  }

  /** A model is there (again): what waits goes on, and what an album without storage has lost is read once more. @param {Session<PhotoCalls>} session */
  attach(session) {
    this.#session = session;
    const again = this.#arrivals;
    this.#arrivals = [];
    this.#queue = [];
    if (again.length) void this.take(again);
  }

  detach() {
    this.#session = null;
    this.#run.abort();
  }

  /** Forget everything: the album is deleted. */
  reset() {
    this.#run.abort(STOPPED);
    this.#paused = false;
    this.#queue = [];
    this.#arrivals = [];
    this.#unreadable.clear();
    this.#origins.clear();
    this.#showUnreadable();
    this.#showRun();
  }

  /** @param {Arrival[]} arrivals */
  async take(arrivals) {
    const session = this.#session;
    if (!session) {
      this.#arrivals.push(...arrivals); // the album of the last visit is still being opened
      return;
    }
    let [fresh, known, gone, others] = [0, 0, 0, 0];
    try {
      for (const arrival of arrivals) {
        this.#arrivals.push(arrival);
        const { root, complete, photos, kind, handle } = arrival;
        if (handle) this.#around.pictures.folders.set(root, handle);
        const listing = photos.map(({ name, size, modified }) => ({ name, size, modified }));
        const compared = await session.request('compare', { listing, root, complete });
        const items = compared.fresh.map(({ at, name }) => ({ .../** @type {PhotoItem} */ (photos[at]), name }));
        for (const { name, source } of items) this.#around.pictures.sources.set(name, source);
        for (const { at, name } of compared.known) this.#around.pictures.sources.set(name, /** @type {PhotoItem} */ (photos[at]).source);
        const waiting = new Set(this.#queue.map(({ name, size, modified }) => `${name}|${size}|${modified}`));
        const new_items = items.filter(({ name, size, modified }) => !waiting.has(`${name}|${size}|${modified}`));
        for (const item of new_items) this.#queue.push(item);
        for (const name of arrival.unreadable) this.#unreadable.set(name, 'the system does not give it out');
        if (arrival.unreadable.length) this.#showUnreadable();
        this.#all += new_items.length;
        this.#origins.set(root, { root, kind, handle, unfinished: items.length });
        await session.request('note', { root, kind, handle, unfinished: items.length });
        [fresh, known, gone, others] = [fresh + new_items.length, known + compared.known.length, gone + compared.gone, others + arrival.others];
      }
    } catch (error) {
      if (!isAbort(error)) this.#session?.fail(error);
      return;
    }
    const words = [
      others ? t(others === 1 ? '{count} file is no photo' : '{count} files are no photos', { count: numberWords(others) }) : '',
      known ? t('{count} already here', { count: numberWords(known) }) : '',
      gone ? t('{count} gone since', { count: numberWords(gone) }) : '',
    ].filter(Boolean);
    this.#leftOut = listWords(words);
    if (gone) await this.#around.onGrown();
    if (fresh) return this.#work();
    for (const origin of this.#origins.values()) await session.request('note', { ...origin, unfinished: 0 }).catch(() => null);
    if (!this.#running) this.#around.onSettled(t(this.#leftOut ? 'Nothing new.' : 'No photos were found there.'), this.#leftOut);
  }

  resume() {
    this.#paused = false;
    return this.#work();
  }

  #stop() {
    this.#queue = [];
    if (this.#running) this.#run.abort(STOPPED);
    else {
      this.#paused = false;
      void this.#settle(t('Stopped.'));
    }
  }

  /** Read everything that waits, in one request after the other. */
  async #work() {
    if (this.#running || this.#paused || !this.#session) return;
    clearProblem();
    setState('running');
    this.#running = true;
    this.#run = new AbortController();
    [this.#done, this.#all, this.#marks] = [0, this.#queue.length, []];
    this.#showRun();
    let words = '';
    try {
      while (this.#queue.length && this.#session) await this.#runQueue(this.#session);
      for (const origin of this.#origins.values()) await this.#session?.request('note', { ...origin, unfinished: 0 });
      this.#origins.clear();
    } catch (error) {
      const { reason } = this.#run.signal;
      this.#paused = reason === PAUSED;
      if (reason === STOPPED) words = t('Stopped.');
      else if (!isAbort(error)) this.#session?.fail(error);
    }
    this.#running = false;
    if (!this.#session) return this.#showRun();
    await this.#settle(this.#paused ? t('Paused.') : words);
  }

  /** @param {Session<PhotoCalls>} session */
  async #runQueue(session) {
    const photos = this.#queue;
    const through = new Set();
    say(t(photos.length === 1 ? 'Reading {count} photo…' : 'Reading {count} photos…', { count: numberWords(photos.length) }));
    try {
      await session.request('index', { photos }, {
        signal: this.#run.signal,
        onEvent: (event) => {
          if (event.kind === 'saved') return this.#showKept(event.unsaved);
          if (event.kind !== 'indexed' && event.kind !== 'unreadable') return;
          through.add(photos[event.at]);
          if (event.kind === 'unreadable') {
            this.#unreadable.set(photos[event.at]?.name ?? '', event.why);
            this.#showUnreadable();
          }
          this.#done += 1;
          this.#showProgress();
        },
      });
    } finally {
      this.#queue = this.#queue.filter((photo) => !through.has(photo));
    }
  }

  /** @param {string} words what ended it; empty when all is read */
  async #settle(words) {
    this.#showRun();
    await this.#around.onGrown(); // first the true count, then the words about it
    this.#around.onSettled(words, this.#leftOut);
  }

  #showRun() {
    const shown = this.#running || this.#paused;
    document.documentElement.toggleAttribute('data-indexing', shown);
    this.#pauseButton.textContent = t(this.#paused ? 'Go on' : 'Pause');
    if (this.#paused) part(document, 'index-text').textContent = t('Paused, {count} still to read', { count: numberWords(this.#queue.length) });
  }

  #showProgress() {
    const now = performance.now();
    this.#marks.push({ at_ms: now, done: this.#done });
    while (this.#marks.length > 2 && now - /** @type {{ at_ms: number }} */ (this.#marks[0]).at_ms > SPEED_OVER_MS) this.#marks.shift();
    const [first] = this.#marks;
    const seconds = first ? (now - first.at_ms) / 1000 : 0;
    const rate = first && seconds > 0.5 ? (this.#done - first.done) / seconds : 0;
    this.#bar.max = this.#all;
    this.#bar.value = this.#done;
    part(document, 'index-text').textContent = [
      t('{done} of {all}', { done: numberWords(this.#done), all: numberWords(this.#all) }),
      rate && t('{rate} photos per second', { rate: rate.toFixed(1) }),
      rate && this.#done < this.#all && durationWords((this.#all - this.#done) / rate, t),
    ].filter(Boolean).join(' · ');
    if (now - this.#shown_ms < SHOW_EVERY_MS) return;
    this.#shown_ms = now;
    void this.#around.onGrown();
  }

  /** @param {string} unsaved */
  #showKept(unsaved) {
    if (unsaved === this.#unsaved) return;
    this.#unsaved = unsaved;
    void this.#around.onGrown();
  }

  #showUnreadable() {
    const all = this.#unreadable;
    this.#problems.hidden = !all.size;
    const count = numberWords(all.size);
    part(this.#problems, 'summary').textContent = t(all.size === 1 ? '{count} file could not be read' : '{count} files could not be read', { count });
    const list = part(this.#problems, 'list');
    const lines = [...all].slice(list.childElementCount, MOST_NAMED).map(([name, why]) => {
      const line = document.createElement('li');
      line.textContent = `${name}: ${t(why)}`;
      return line;
    });
    if (all.size) list.append(...lines);
    else list.replaceChildren();
  }

  /** Everything anew in another language. */
  redraw() {
    this.#showRun();
    if (this.#running) this.#showProgress();
    part(this.#problems, 'list').replaceChildren();
    this.#showUnreadable();
  }
}

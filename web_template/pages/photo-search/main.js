/**
 * @file Photo search, page only: photos → worker → vectors; a sentence → worker → ranked photos.
 *
 * The model and the vectors live in worker.js, the ways in which photos arrive in intake.js, the pictures on screen in
 * gallery.js.
 */

/** @import { PhotoCalls } from '../../shared/protocol.js' */
/** @import { Photo } from './intake.js' */

import { isAbort } from '../../shared/bridge.js';
import { absolute } from '../../shared/config.js';
import { Session, openSession } from '../../shared/session.js';
import { byRole, clearProblem, getState, part, say, setState, showProblem } from '../../shared/state.js';
import { Gallery } from './gallery.js';
import { filesOf, fromAlbum, fromFiles } from './intake.js';

const SEARCH_AFTER_MS = 250;
const MOST_RESULTS = 60;
/** Why reading photos ended: the visitor's wish. Whatever else ends it, they are read again with the next model. */
const STOPPED = new DOMException('The visitor stopped it.', 'AbortError');

const gallery = new Gallery();
const drop = byRole('drop', HTMLElement);
const query = byRole('query', HTMLInputElement);
const count = byRole('count', HTMLElement);
const empty = byRole('empty', HTMLElement);
const sampleButton = byRole('sample', HTMLButtonElement);
const stopButton = byRole('stop', HTMLButtonElement);
const bar = byRole('index-progress', HTMLProgressElement);

/** @type {Session<PhotoCalls> | null} */
let session = null;
/** Every photo that was ever taken in; its place is its id in the worker. @type {Photo[]} */
const photos = [];
/** @type {Set<string>} */
const known = new Set();
/** Ids that wait for the worker. @type {number[]} */
let waiting = [];
let indexing = new AbortController();
let busy = false;
/** What of the last choice was not taken, in words. */
let leftOut = '';
let searching = new AbortController();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let searchTimer;

// ------------------------------------------------------------------------------------------------ indexing

/** @param {Photo[]} arrived @param {number} [others] files that are no photos */
function take(arrived, others = 0) {
  const fresh = arrived.filter(({ key }) => !known.has(key));
  for (const photo of fresh) {
    known.add(photo.key);
    waiting.push(photos.push(photo) - 1);
  }
  const left_out = [
    others && `${others} ${others === 1 ? 'file is' : 'files are'} no photo`,
    arrived.length - fresh.length && `${arrived.length - fresh.length} already here`,
  ].filter(Boolean);
  leftOut = left_out.length ? ` (${left_out.join(', ')})` : '';
  if (!fresh.length) say(leftOut ? `Nothing new${leftOut}.` : 'No photos were found there.');
  else void work();
}

/** Index everything that waits, in one request after the other. */
async function work() {
  if (!session) return;
  clearProblem();
  setState('running');
  if (busy) return;
  busy = true;
  indexing = new AbortController();
  document.documentElement.toggleAttribute('data-indexing', true);
  const started = performance.now();
  let [done, all] = [0, 0];
  /** @type {Set<number>} */
  const open = new Set();
  const rate = () => (done / ((performance.now() - started) / 1000)).toFixed(1);
  try {
    while (waiting.length && session) {
      const ids = waiting;
      waiting = [];
      all += ids.length;
      ids.forEach((id) => open.add(id));
      say(`Reading ${ids.length} ${ids.length === 1 ? 'photo' : 'photos'}…`);
      await session.request('index', { photos: ids.map((id) => ({ id, source: /** @type {Photo} */ (photos[id]).source })) }, {
        signal: indexing.signal,
        onEvent(event) {
          if (event.kind !== 'indexed' && event.kind !== 'unreadable') return;
          const photo = /** @type {Photo} */ (photos[event.id]);
          open.delete(event.id);
          if (event.kind === 'indexed') gallery.add(event.id, photo, event.thumbnail);
          else gallery.addUnreadable(photo, event.why);
          done += 1;
          bar.max = all;
          bar.value = done;
          part(document, 'index-text').textContent = `${done} of ${all} · ${rate()} photos per second`;
          showCount();
        },
      });
    }
    settle(`${readyWords()}${leftOut}.`);
  } catch (error) {
    if (indexing.signal.reason === STOPPED) forget(open);
    if (isAbort(error)) settle(`Stopped. ${readyWords()}.`);
    else session?.fail(error);
  } finally {
    busy = false;
    document.documentElement.toggleAttribute('data-indexing', false);
    showCount();
  }
  if (query.value.trim() && gallery.size) await search();
}

/** Let photos that were not reached be taken in again later. @param {Iterable<number>} ids */
function forget(ids) {
  for (const id of [...ids, ...waiting]) known.delete(/** @type {Photo} */ (photos[id]).key);
  waiting = [];
}

const readyWords = () => `${gallery.size} ${gallery.size === 1 ? 'photo is' : 'photos are'} ready to be searched`;

/** @param {string} text */
function settle(text) {
  if (!session) return;
  const { notices } = session;
  session.settle();
  setState(gallery.size ? 'done' : 'ready');
  say([text, ...notices].join(' '));
}

function showCount() {
  count.textContent = gallery.size === 1 ? '1 photo' : `${gallery.size} photos`;
  document.documentElement.toggleAttribute('data-photos', gallery.size > 0 || busy);
  showEmpty(gallery.size || busy ? '' : 'No photos yet.');
}

/** @param {string} text */
function showEmpty(text) {
  empty.textContent = text;
  empty.hidden = text === '';
}

// ------------------------------------------------------------------------------------------------ searching

/** Search for what stands in the field; an older search that is still under way counts no more. */
async function search() {
  clearTimeout(searchTimer);
  searching.abort();
  searching = new AbortController();
  const { signal } = searching;
  const text = query.value.trim();
  if (!text || !session || !gallery.size) {
    gallery.showAlbum();
    if (text && session) showEmpty('Add photos first; then they can be searched.');
    else showCount();
    // Whatever was searched for is no longer; an error stays until it is answered.
    if (!text && !busy && getState() !== 'error') settle(`${gallery.size ? readyWords() : 'No photos yet'}.`);
    return;
  }
  if (!busy) setState('running');
  try {
    const { hits, searched } = await session.request('search', { query: text, limit: MOST_RESULTS }, { signal });
    if (signal.aborted) return;
    gallery.showResults(hits);
    showEmpty('');
    const all = hits.length === searched ? `${searched} photos ranked` : `The best ${hits.length} of ${searched} photos`;
    say(`${all} for “${text}”.`);
    if (!busy) setState('done');
  } catch (error) {
    if (isAbort(error) || signal.aborted) return;
    session?.fail(error);
  }
}

query.oninput = () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(() => void search(), query.value.trim() ? SEARCH_AFTER_MS : 0);
};
query.form?.addEventListener('submit', (event) => {
  event.preventDefault(); // CSP's form-action 'none' forbids it anyway
  void search();
});

// ------------------------------------------------------------------------------------------------ controls

for (const role of ['pick', 'pick-folder']) {
  const input = byRole(role, HTMLInputElement);
  input.onchange = () => {
    const { photos: arrived, others } = fromFiles(input.files ?? []);
    input.value = ''; // so that the same choice counts again after a stop
    take(arrived, others);
  };
}

sampleButton.onclick = () => void takeSample();
stopButton.onclick = () => indexing.abort(STOPPED);

async function takeSample() {
  const album = session?.config.sample?.album;
  if (!album) return;
  try {
    take(await fromAlbum(absolute(album)));
  } catch (error) {
    showProblem({
      title: 'The sample album is not there',
      what: error instanceof Error ? error.message : String(error),
      todo: 'Try again, or use your own photos.',
      retry() {
        settle('Opening the sample album…');
        void takeSample();
      },
    });
  }
}

// The whole page takes drops, so that a photo let go beside the field does not replace the page.
addEventListener('dragover', (event) => {
  event.preventDefault();
  drop.toggleAttribute('data-over', session !== null);
});
addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) drop.removeAttribute('data-over');
});
addEventListener('drop', async (event) => {
  event.preventDefault();
  drop.removeAttribute('data-over');
  if (!event.dataTransfer) return;
  if (!session) {
    say('Start the page first; then photos can be dropped here.');
    return;
  }
  try {
    const { photos: arrived, others } = fromFiles(await filesOf(event.dataTransfer));
    take(arrived, others);
  } catch (error) {
    say(`What was dropped could not be read (${error instanceof Error ? error.message : String(error)}). Use the buttons instead.`);
  }
});

void openSession(/** @type {import('../../shared/session.js').Page<PhotoCalls>} */ ({
  worker: new URL('./worker.js', import.meta.url),
  sources: ({ sample }) => (sample?.album ? ['sample'] : []),
  allowVideoUrl: false,
  onOffer(opened) {
    sampleButton.hidden = !opened.config.sample?.album;
    query.value = opened.query.q ?? '';
  },
  onReady(opened) {
    session = opened;
    clearProblem();
    // After a failure the new worker has an empty index: what was there is read again, once (a photo that was stopped
    // and taken in again has two ids).
    const ids = new Map(photos.map(({ key }, id) => [key, id]));
    waiting = [...ids].filter(([key]) => known.has(key)).map(([, id]) => id);
    gallery.reset();
    showCount();
    if (waiting.length) void work();
    else if (opened.query.source === 'sample') void takeSample();
  },
  onLost() {
    session = null;
    searching.abort();
    indexing.abort();
  },
}));

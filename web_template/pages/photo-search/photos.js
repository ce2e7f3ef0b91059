/**
 * @file The page once its model is there: photos arrive (intake.js), are read into the album (indexing.js), a query
 * (searching.js) with filters (filters.js) gives a ranking, the grid (gallery.js) and the viewer (viewer.js) show it.
 * The model, the vectors and what is kept between visits live in worker.js.
 */

/** @import { AlbumFacts, PhotoCalls } from '../../shared/protocol.js' */
/** @import { Arrival } from './intake.js' */
/** @import { Found } from './searching.js' */
/** @typedef {import('../../shared/session.js').Session<PhotoCalls>} Opened */

import { isAbort } from '../../shared/bridge.js';
import { absolute } from '../../shared/config.js';
import { deleteStored } from '../../shared/keep.js';
import { later, onLanguage, t } from '../../shared/language.js';
import { keepOffline } from '../../shared/offline.js';
import { byRole, clearProblem, getState, part, say, setState } from '../../shared/state.js';
import { keepAwake, letSleep } from '../../shared/wake.js';
import { comeBack, forgetOffer } from './coming-back.js';
import { Filters } from './filters.js';
import { Gallery } from './gallery.js';
import { IndexFiles } from './index-files.js';
import { Indexing } from './indexing.js';
import { fromAlbum } from './intake.js';
import { deleteAlbums } from './kept.js';
import { Parts } from './parts.js';
import { Pictures } from './pictures.js';
import { Searching } from './searching.js';
import { Selection } from './selection.js';
import { showResults, showStorageNote } from './telling.js';
import { tellProblem, whyNoIndex } from './trouble.js';
import { Viewer } from './viewer.js';
import { onArrivals } from './ways-in.js';
import { numberWords, sentences } from './wording.js';

const root = document.documentElement;
const field = byRole('query', HTMLInputElement);
const nearButton = byRole('show-near', HTMLButtonElement);

/** @type {Opened | null} */
let session = null;
/** @type {AlbumFacts} */
let album = { photos: 0, folded: 0, first: null, last: null, folders: [], unsaved: '' };
/** @type {Found | null} */
let found = null;
let showsNear = false;

const current = () => session;
const pictures = new Pictures(current);
const actions = {
  open: (/** @type {number} */ _, /** @type {number} */ at) => viewer.open(shownGallery().rows, at),
  select: (/** @type {number} */ row) => selection.toggle(row),
  isSelected: (/** @type {number} */ row) => selection.has(row),
};
const results = new Gallery(byRole('results', HTMLElement), pictures, actions);
const browsing = new Gallery(byRole('album', HTMLElement), pictures, actions);
const shownGallery = () => (found ? results : browsing);

const viewer = new Viewer({
  pictures,
  session: current,
  like: (example, only) => searchWith([example], only),
  select: actions.select,
  isSelected: actions.isSelected,
  onClose: (at) => shownGallery().focus(at),
});
const selection = new Selection({
  pictures,
  runtime: () => session?.config.runtime.ort ?? '',
  onChange: () => shownGallery().redraw(),
  like: (rows) => void likeRows(rows),
  remove: (rows) => void removeRows(rows),
});
const indexing = new Indexing({ pictures, onGrown: refresh, onSettled: settle });
const filters = new Filters(current, () => void searching.run());
const searching = new Searching(field, {
  session: current,
  filter: () => filters.value,
  onStart() {
    if (!indexing.busy && getState() === 'done') setState('running');
  },
  onFound(answer) {
    [found, showsNear] = [answer, false];
    showFound();
  },
  onBrowse(rows) {
    found = null;
    results.hide();
    browsing.show(rows);
    showCount();
    if (!indexing.busy && getState() === 'running') settle('');
  },
  onExample: () => parts.show(),
  onFailed(name) {
    parts.show();
    say(later('“{name}” cannot be read by this browser.', { name }));
  },
});
const files = new IndexFiles({
  session: current,
  photos: () => album.photos,
  onOpened: async (facts, words) => {
    pictures.forget();
    showAlbum(facts);
    settle(words);
    await searching.run();
  },
  onBack: () => settle(''),
});
const parts = new Parts(searching, () => void searching.run());

// ------------------------------------------------------------------------------------------------ what is shown

function showFound() {
  if (!found) return;
  const { rows, scores, found: count, near } = found;
  const shown = showsNear ? (count ? count + near : rows.length) : count;
  browsing.hide();
  results.show(rows.subarray(0, shown), scores.subarray(0, shown));
  parts.show();
  showCount();
  if (!indexing.busy && session) setState(album.photos ? 'done' : 'ready');
}

function showCount() {
  root.toggleAttribute('data-photos', album.photos > 0 || indexing.busy);
  showResults({ found, showsNear, album, query: searching.text, filtered: filters.isActive, busy: indexing.busy, shown: browsing.rows.length });
  showStorageNote(album.unsaved);
  for (const role of ['filters', 'manage']) byRole(role, HTMLElement).hidden = !album.photos;
}

/** The album has changed: its facts, the filters and whatever is on screen follow. */
async function refresh() {
  if (!session) return;
  try {
    showAlbum(await session.request('overview', null));
    if (searching.asks) searching.soon();
    else await searching.run();
  } catch (error) {
    if (!isAbort(error)) session?.fail(error);
  }
}

/** @param {AlbumFacts} facts */
function showAlbum(facts) {
  album = facts;
  filters.show(facts);
  showCount();
}

/** Nothing is being read any more. @param {string} words what ended it @param {string} [left_out] */
function settle(words, left_out = '') {
  letSleep();
  if (!session) return;
  const { notices } = session;
  session.settle();
  if (getState() !== 'error') setState(album.photos ? 'done' : 'ready');
  const photos = () => t(album.photos === 1 ? '{count} photo is ready to be searched' : '{count} photos are ready to be searched', { count: numberWords(album.photos) });
  const ready = () => (album.photos ? sentences(`${photos()}${left_out && ` (${left_out})`}`) : [t('No photos yet.'), sentences(left_out)].filter(Boolean).join(' '));
  say(() => [words, ready(), ...notices].filter(Boolean).join(' '));
}

// ------------------------------------------------------------------------------------------------ what visitors do

/** @param {{ row?: number, picture?: File, name: string, url: string }[]} examples @param {boolean} only */
function searchWith(examples, only) {
  examples.forEach((example, i) => searching.addExample(example, only && i === 0));
  parts.show();
  field.focus();
  scrollTo({ top: 0 });
  void searching.run();
}

/** @param {number[]} rows */
async function likeRows(rows) {
  const shown = await Promise.all(rows.map((row) => pictures.get(row)));
  searchWith(shown.map(({ facts, url }) => ({ row: facts.row, name: facts.name, url })), true);
}

/** @param {number[]} rows */
async function removeRows(rows) {
  if (!session) return;
  try {
    const facts = await session.request('remove', { rows });
    selection.clear();
    pictures.forget();
    showAlbum(facts);
    say(later('{count} photos were removed from the album. The files stay where they are.', { count: numberWords(rows.length) }));
    await searching.run();
  } catch (error) {
    if (!isAbort(error)) session?.fail(error);
  }
}

/** @param {Arrival[]} arrivals */
function take(arrivals) {
  if (!session) return;
  forgetOffer();
  keepAwake();
  setState('running');
  void indexing.take(arrivals);
}

async function takeSample() {
  const sample = await openSample();
  if (sample) take([sample]);
}

async function openSample() {
  const address = session?.config.sample?.album;
  if (!address) return null;
  try {
    return await fromAlbum(absolute(address), 'Sample album');
  } catch (error) {
    tellProblem({
      title: later('The sample album is not there'),
      what: error instanceof Error ? error.message : String(error),
      todo: later('Try again, or use your own photos.'),
      retry: () => {
        settle('');
        void takeSample();
      },
    });
    return null;
  }
}

/** Index, thumbnails and, unless they go already, the files of the model. @param {boolean} models */
export async function deleteEverything(models) {
  indexing.reset();
  searching.stop();
  found = null;
  results.hide();
  selection.clear();
  filters.reset();
  searching.clearExamples();
  field.value = '';
  pictures.forget();
  pictures.sources.clear();
  if (models) await deleteStored(absolute('./'));
  if (session) showAlbum(await session.request('forget', null));
  else await deleteAlbums();
  forgetOffer();
  parts.show();
  if (!session) return;
  await searching.run();
  setState(album.photos ? 'done' : 'ready'); // a published collection is still there
  say(later('Everything is deleted: no index, no thumbnails, no model is stored here.'));
}

// ------------------------------------------------------------------------------------------------ opening

/** @param {Opened} opened */
async function openAlbum(opened) {
  const { collection } = opened.config;
  const address = collection ? absolute(collection.index) : null;
  root.toggleAttribute('data-collection', collection !== null && collection !== undefined);
  if (collection?.photos_url) {
    const base = collection.photos_url;
    pictures.addressOf = (name) => absolute(base + name.split('/').map(encodeURIComponent).join('/'));
  }
  try {
    const { origins, ...facts } = await opened.request('open', { collection_url: address, sentences_url: absolute(opened.config.sentences ?? '') }, {
      onEvent: (event) => event.kind === 'opening' && bar(event.loaded_bytes, event.total_bytes),
    });
    if (opened !== session) return;
    showAlbum(facts);
    await searching.run();
    if (address) {
      showAlbum(await opened.request('complete', null));
      void keepOffline([address]);
    }
    if (filters.wantsTags && album.photos) await filters.findTags();
    if (!indexing.busy) settle('');
    indexing.attach(opened);
    await comeBack(origins, { take, openSample, pictures });
    if (opened.query.source === 'sample' && !origins.some(({ kind }) => kind === 'sample')) await takeSample();
  } catch (error) {
    if (isAbort(error)) return;
    const what = whyNoIndex(error);
    if (!what) return opened.fail(error);
    bar(0, 0);
    tellProblem({
      title: later('The collection cannot be shown'),
      what,
      todo: later('Check the connection and try again.'),
      retry: () => {
        clearProblem();
        setState('ready');
        void openAlbum(opened);
      },
    });
  }
}

/** @param {number} done @param {number} all bytes */
function bar(done, all) {
  Object.assign(byRole('index-progress', HTMLProgressElement), { max: all || 1, value: done });
  root.toggleAttribute('data-opening', done < all);
}

// ------------------------------------------------------------------------------------------------ controls

nearButton.onclick = () => {
  showsNear = !showsNear;
  showFound();
};
byRole('scores', HTMLInputElement).onchange = ({ target }) => {
  results.showScores = /** @type {HTMLInputElement} */ (target).checked;
};
byRole('sample', HTMLButtonElement).onclick = () => void takeSample();
byRole('export', HTMLButtonElement).onclick = () => void files.save();
part(document, 'open-index').onclick = () => byRole('pick-index', HTMLInputElement).click();
const confirm = byRole('confirm', HTMLDialogElement);
byRole('delete', HTMLButtonElement).onclick = () => confirm.showModal();
confirm.onclose = () => {
  if (confirm.returnValue !== 'delete') return;
  confirm.returnValue = '';
  deleteEverything(true).catch((error) => session?.fail(error));
};

const ways = {
  isOpen: () => session !== null && !root.hasAttribute('data-collection'),
  onPhotos: take,
  onIndex: (/** @type {File} */ file) => void files.open(file),
  onExamples: (/** @type {File[]} */ files) => searchWith(files.map((file) => ({ picture: file, name: file.name, url: '' })), false),
};

onLanguage(redraw);

function redraw() {
  filters.redraw();
  if (session) {
    filters.show(album);
    showCount();
  }
  selection.show();
  parts.show();
  indexing.redraw();
  results.redraw();
  browsing.redraw();
}

/** The model is there (again). @param {Opened} opened */
export function attach(opened) {
  const first = parts.models === null;
  parts.models = opened.manifest;
  byRole('sample', HTMLButtonElement).hidden = !opened.config.sample?.album;
  session = opened;
  if (first) {
    filters.readAddress();
    onArrivals(ways);
    const { ort } = opened.config.runtime;
    void keepOffline([`${ort}exif-reader.js`, `${ort}client-zip.js`]); // the HEIC decoder is larger than all of this page
  }
  clearProblem();
  pictures.forget();
  searching.forgetRows();
  selection.clear();
  redraw();
  void openAlbum(opened);
}

/** The model is gone. */
export function detach() {
  session = null;
  searching.stop();
  viewer.close();
  indexing.detach();
  letSleep();
}

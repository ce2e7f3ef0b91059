/**
 * @file Photo search, model and album: photos become vectors (pipeline.js), the album keeps them (album.js), a query
 * becomes scores and a ranking (ranking.js, cutoff.js). No DOM. The requests stand in shared/protocol.d.ts.
 */

/** @import { PhotoCalls, PhotoFilter, PhotoQuery } from '../../shared/protocol.js' */
/** @import { Cutoff } from './cutoff.js' */
/** @import { Model } from './model.js' */

import { openIndex } from '../../shared/index-file.js';
import { withRuntime } from '../../shared/runtime.js';
import { serve } from '../../shared/serve.js';
import { Album } from './album.js';
import { NEUTRAL, measureCutoff } from './cutoff.js';
import { LABELS, sentenceOf } from './labels.js';
import { embedText, loadModel, pictureOf, spaceOf, warmUp } from './model.js';
import { describeAlbum, isAllowed } from './overview.js';
import { Decoder, runPhotos } from './pipeline.js';
import { combine, rank } from './ranking.js';
import { Store } from './store.js';
import { Tags } from './tags.js';

/** Photos for which the cut-off is measured anew when the album has grown by more than a tenth. */
const GROWTH = 1.1;

/** @type {{ model: Model, decoder: Decoder, space: string, dimensions: number } | null} */
let loaded = null;
/** @type {Album | null} */
let album = null;
/** @type {Store | null} */
let store = null;
/** The album is a published collection. */
let collection = false;
/** @type {{ cutoff: Cutoff, alive: number } | null} */
let measured = null;
/** @type {Tags | null} */
let tags = null;

/** @template T @param {T | null} value @returns {T} */
function present(value) {
  if (value === null) throw new Error('The model is not loaded.');
  return value;
}

/**
 * Vectors of sentences that never change, from the last visit or computed now.
 *
 * @param {readonly string[]} sentences @param {(done: number) => void} [onProgress] @param {AbortSignal} [signal]
 */
async function textVectors(sentences, onProgress = () => {}, signal) {
  const { model } = present(loaded);
  const name = sentences.join('|'); // another list has vectors of its own
  const kept = await store?.texts(name).catch(() => undefined);
  if (kept) return kept;
  /** @type {Float32Array[]} */
  const vectors = [];
  while (vectors.length < sentences.length) {
    signal?.throwIfAborted();
    vectors.push(...(await model.embedTexts(sentences.slice(vectors.length, vectors.length + model.sentences))));
    onProgress(vectors.length);
    await new Promise((resolve) => setTimeout(resolve)); // a search may go first
  }
  await store?.putTexts(name, vectors).catch(() => {}); // without room they are computed again next time
  return vectors;
}

async function currentCutoff() {
  const { index } = present(album);
  if (measured && index.alive <= measured.alive * GROWTH && index.alive * GROWTH >= measured.alive) return measured.cutoff;
  const neutral = await textVectors(NEUTRAL);
  measured = { cutoff: measureCutoff(neutral.map((vector) => index.scores(vector))), alive: index.alive };
  return measured.cutoff;
}

/** @param {PhotoQuery} query */
async function scoreParts({ terms, rows, pictures }) {
  const { model } = present(loaded);
  const { index } = present(album);
  const parts = [];
  for (const { text, weight } of terms) {
    parts.push({ weight, example: false, scores: index.scores(await embedText(model, text)) });
  }
  for (const row of rows) parts.push({ weight: 1, example: true, scores: index.scores(index.vector(row)) });
  for (const bitmap of pictures) {
    const [vector] = await model.embedPictures([pictureOf(model, bitmap)]);
    if (vector) parts.push({ weight: 1, example: true, scores: index.scores(vector) });
  }
  return parts;
}

/** @param {PhotoFilter} filter @returns {(row: number) => boolean} */
function passes(filter) {
  const { index, twins } = present(album);
  const tagged = filter.tag ? tags?.rows(filter.tag) ?? new Set() : null;
  return (row) =>
    isAllowed(index, row, filter) && (!filter.fold || twins.leader(row) === row) && (!tagged || tagged.has(row));
}

const overview = () => describeAlbum(present(album));

serve(/** @type {{ [T in keyof PhotoCalls]: import('../../shared/serve.js').Handler<PhotoCalls[T]> }} */ ({
  async load(job, { emit }) {
    const started = performance.now();
    const model = job.server
      ? await (await import('./remote.js')).connectModel(job, emit)
      : await withRuntime(job, emit, (transformers, options) => loadModel(job, transformers, options));
    emit({ kind: 'phase', phase: 'warm-up' });
    const dimensions = await warmUp(model);
    loaded = { model, decoder: new Decoder(job.ort_url), space: spaceOf(job.manifest), dimensions };
    return { load_ms: performance.now() - started };
  },

  async open({ collection_url }, { emit, signal }) {
    const { model, space, dimensions } = present(loaded);
    measured = tags = null;
    collection = collection_url !== null;
    if (collection_url) {
      const index = await openIndex(collection_url, { space, signal, onProgress: (progress) => emit({ kind: 'opening', ...progress }) });
      album = Album.of(index);
      index.complete.then(
        () => (measured = null),
        () => {}, // the page asks for completeness itself and reports it
      );
      return { ...overview(), origins: [] };
    }
    store = await Store.open(space);
    album = await Album.restore({ space, model: model.manifest.name, dimensions }, store);
    return { ...overview(), origins: (await store?.origins()) ?? [] };
  },

  async complete() {
    await present(album).index.complete;
    await present(album).findTwins();
    return overview();
  },

  async compare({ listing, root, complete }) {
    const { fresh, known, gone } = present(album).compare(listing, root, complete);
    if (gone.length) await present(album).remove(gone);
    return { fresh, known, gone: gone.length };
  },

  async note(origin) {
    await store?.putOrigin(origin).catch(() => {}); // without it the next visit starts with what is there
    return null;
  },

  async index({ photos }, { signal, emit }) {
    const started = performance.now();
    const target = present(album);
    let [indexed, unreadable] = [0, 0];
    try {
      for await (const outcomes of runPhotos(photos, { ...present(loaded), signal })) {
        for (const outcome of outcomes) {
          if ('why' in outcome) {
            unreadable += 1;
            emit({ kind: 'unreadable', at: outcome.at, why: outcome.why });
            continue;
          }
          const { photo, prepared, vector } = outcome;
          const { name, size, modified } = photo;
          const { date, place, hash, thumbnail } = prepared;
          const row = target.add({ name, size, modified, date: date ?? photo.local_ms, place, hash, thumbnail, vector });
          indexed += 1;
          emit({ kind: 'indexed', at: outcome.at, row });
        }
        await target.saveSome();
        emit({ kind: 'saved', unsaved: target.unsaved });
      }
    } finally {
      await target.tidy();
    }
    tags?.forget();
    return { indexed, unreadable, total_ms: performance.now() - started };
  },

  async search({ query, filter }, { signal }) {
    try {
      const cutoff = await currentCutoff();
      signal.throwIfAborted();
      const parts = await scoreParts(query);
      signal.throwIfAborted();
      const total = combine(parts, cutoff);
      const allowed = passes(filter);
      const examples = new Set(query.rows);
      const ranking = rank(total.scores, total.cutoff, (row) => allowed(row) && !examples.has(row));
      return { ...ranking, cutoff: total.cutoff.found };
    } finally {
      for (const bitmap of query.pictures) bitmap.close();
    }
  },

  async browse({ filter }) {
    const { index } = present(album);
    const allowed = passes(filter);
    const rows = [];
    for (let row = 0; row < index.count; row++) if (index.isAlive(row) && allowed(row)) rows.push(row);
    const date = (/** @type {number} */ row) => index.date(row) || 0; // NaN: unknown
    rows.sort((a, b) => date(b) - date(a) || a - b);
    return { rows: Uint32Array.from(rows) };
  },

  async facts({ rows }) {
    const { index, twins } = present(album);
    return {
      facts: rows.map((row) => ({
        row, name: index.name(row), size: index.size(row), date: index.date(row), place: index.place(row), twins: twins.twins(row),
      })),
    };
  },

  async thumbnails({ rows }) {
    return { thumbnails: await Promise.all(rows.map((row) => present(album).thumbnail(row).catch(() => null))) };
  },

  async tag(_, { emit, signal }) {
    const { index } = present(album);
    const all = LABELS.length;
    const vectors = await textVectors(LABELS.map(sentenceOf), (done) => emit({ kind: 'labels', done, all }), signal);
    tags ??= new Tags();
    await tags.assign(index, LABELS, vectors, await currentCutoff(), signal);
    return { tags: tags.counts() };
  },

  async overview() {
    return overview();
  },

  async openFile({ file }) {
    const opened = await present(album).openFile(file);
    tags?.forget();
    return { opened, ...overview() };
  },

  async remove({ rows }) {
    await present(album).remove(rows);
    tags?.forget();
    return overview();
  },

  async export() {
    return { file: await present(album).export() };
  },

  async render({ source }) {
    return present(loaded).decoder.ask('render', { source });
  },

  async forget() {
    if (collection) return overview(); // it lies elsewhere, and nothing of it was kept here
    const { model, space, dimensions } = present(loaded);
    store?.close();
    await Store.deleteAll();
    measured = tags = null;
    store = await Store.open(space);
    album = await Album.restore({ space, model: model.manifest.name, dimensions }, store);
    return overview();
  },
}));

/**
 * @file Photo search, model and album: photos become vectors (pipeline.js), the album keeps them (album.js), a query
 * becomes scores and a ranking (ranking.js, cutoff.js). No DOM. The requests stand in shared/protocol.d.ts.
 */

/** @import { PhotoCalls, PhotoFilter, PhotoQuery } from '../../shared/protocol.js' */
/** @import { Model } from './model.js' */

import { openIndex } from '../../shared/index-file.js';
import { withRuntime } from '../../shared/runtime.js';
import { serve } from '../../shared/serve.js';
import { Album } from './album.js';
import { MeasuredCutoff } from './cutoff.js';
import { embedText, loadModel, roundingOf, spaceOf, warmUp } from './model.js';
import { allowedRows, describeAlbum, newestFirst } from './overview.js';
import { deleteAlbums } from './kept.js';
import { Decoder, runPhotos } from './pipeline.js';
import { combine, rank } from './ranking.js';
import { readSentences, towerId } from './sentences.js';
import { Store } from './store.js';
import { Tags } from './tags.js';

/** Pictures to search with whose vectors are kept: who refines a search comes back to them with every letter. */
const EXAMPLES_KEPT = 50;

/** @type {{ model: Model, decoder: Decoder, facts: import('../../shared/index-file.js').Facts, tower: string } | null} `tower`: the text encoder that runs */
let loaded = null;
/** @type {Album | null} */
let album = null;
/** @type {Store | null} */
let store = null;
/** The album is a published collection. */
let collection = false;
/** @type {MeasuredCutoff | null} */
let cutoff = null;
/** @type {import('./sentences.js').Sentences | null} */
let own = null;
/** @type {Tags | null} */
let tags = null;
/** Vectors of pictures to search with, by their number. @type {Map<number, Float32Array>} */
const examples = new Map();

/** @template T @param {T | null} value @returns {T} */
function present(value) {
  if (value === null) throw new Error('The model is not loaded.');
  return value;
}

/**
 * Vectors of sentences that never change: those that came with the site, or of the last visit, or computed now.
 *
 * @param {readonly string[]} sentences @param {(done: number) => void} [onProgress] @param {AbortSignal} [signal]
 */
async function textVectors(sentences, onProgress = () => {}, signal) {
  const came = present(own).vectorsOf(sentences);
  if (came) return came;
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

/** Another album is looked at from now on. @param {Album} opened */
function show(opened) {
  album = opened;
  tags = null;
  cutoff = new MeasuredCutoff(opened.index, () => textVectors(present(own).neutral));
}

/**
 * The vector of a picture from outside the album.
 *
 * @param {PhotoQuery['pictures'][number]} picture @param {(event: PhotoCalls['search']['event']) => void} emit
 * @throws {Error} named UnreadableExample, with its number as the detail
 */
async function exampleVector({ id, file }, emit) {
  const known = examples.get(id);
  if (known) return known;
  const { model, decoder } = present(loaded);
  const { image } = model.manifest;
  const { data, thumbnail } = await decoder.ask('prepare', { source: file, image }).catch((cause) => {
    throw Object.assign(new Error('The picture cannot be read.', { cause }), { name: 'UnreadableExample', detail: id });
  });
  emit({ kind: 'example', id, thumbnail: new Blob([thumbnail], { type: 'image/jpeg' }) });
  const [vector] = await model.embedPictures([new model.RawImage(data, image.width, image.height, 3)]);
  if (!vector) throw new Error('The model returned no embedding for the picture.');
  if (examples.size >= EXAMPLES_KEPT) examples.delete(/** @type {number} */ (examples.keys().next().value));
  examples.set(id, vector);
  return vector;
}

/** @param {PhotoQuery} query @param {(event: PhotoCalls['search']['event']) => void} emit */
async function scoreParts({ terms, rows, pictures }, emit) {
  const { model } = present(loaded);
  const { index } = present(album);
  const parts = [];
  for (const { text, weight } of terms) {
    parts.push({ weight, example: false, scores: index.scores(await embedText(model, text)) });
  }
  if (rows.length) await index.complete; // a collection shows photos before their vectors are there
  for (const row of rows) parts.push({ weight: 1, example: true, scores: index.scores(index.vector(row)) });
  for (const picture of pictures) parts.push({ weight: 1, example: true, scores: index.scores(await exampleVector(picture, emit)) });
  return parts;
}

/** @param {PhotoFilter} filter */
const allowedNow = (filter) => allowedRows(present(album), filter, filter.tag ? (tags?.rows(filter.tag) ?? new Set()) : null);

const overview = () => describeAlbum(present(album));

serve(/** @type {{ [T in keyof PhotoCalls]: import('../../shared/serve.js').Handler<PhotoCalls[T]> }} */ ({
  async load(job, { emit }) {
    const started = performance.now();
    const model = job.server
      ? await (await import('./remote.js')).connectModel(job, emit)
      : await withRuntime(job, emit, (transformers, options) => loadModel(job, transformers, options));
    emit({ kind: 'phase', phase: 'warm-up' });
    const dimensions = await warmUp(model);
    const { name, tiers, components } = job.manifest;
    const { vision_model, text_model } = (job.server ? tiers.wasm : null) ?? job.plan.dtypes; // a server runs what processors get
    const facts = { space: spaceOf(job.manifest), model: name, dimensions, rounding: roundingOf(job.manifest, vision_model ?? 'fp32') };
    loaded = { model, decoder: new Decoder(job.ort_url), facts, tower: towerId(components.text_model?.[text_model ?? 'fp32']) };
    return { load_ms: performance.now() - started };
  },

  async open({ collection_url, sentences_url }, { emit, signal }) {
    const { facts, tower } = present(loaded);
    own = await readSentences(sentences_url, tower);
    collection = collection_url !== null;
    if (collection_url) {
      const index = await openIndex(collection_url, { space: facts.space, signal, onProgress: (progress) => emit({ kind: 'opening', ...progress }) });
      show(Album.of(index));
      return { ...overview(), origins: [] };
    }
    store = await Store.open(facts.space);
    const restored = await Album.restore(facts, store);
    show(restored);
    if (restored.index.alive) void cutoff?.current().catch(() => {}); // the first search needs it, and says why it is not there
    const origins = (await store?.origins()) ?? [];
    // Photos that were kept and are damaged: their folders are read again.
    return { ...overview(), origins: origins.map((origin) => ({ ...origin, unfinished: origin.unfinished || restored.lost })) };
  },

  async complete() {
    await present(album).index.complete;
    await present(album).findTwins();
    cutoff?.forget(); // it was measured on what was there by then
    void cutoff?.current().catch(() => {}); // as when an album is opened
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

  index: ({ photos }, { signal, emit }) => present(album).alone(async (target) => {
    const started = performance.now();
    let [indexed, unreadable] = [0, 0];
    try {
      const waiting = photos.filter((photo, at) => {
        const row = target.rowOf(photo); // another tab may have read it meanwhile
        if (row !== undefined) emit({ kind: 'indexed', at, row });
        return row === undefined;
      });
      const places = new Map(photos.map((photo, at) => [photo, at]));
      for await (const outcomes of runPhotos(waiting, { ...present(loaded), signal })) {
        for (const outcome of outcomes) {
          const { photo } = outcome;
          const at = /** @type {number} */ (places.get(photo));
          if ('why' in outcome) {
            unreadable += 1;
            emit({ kind: 'unreadable', at, why: outcome.why });
            continue;
          }
          const { prepared, vector } = outcome;
          const { name, size, modified } = photo;
          const { date, place, hash, thumbnail } = prepared;
          const row = target.add({ name, size, modified, date: date ?? photo.local_ms, place, hash, thumbnail, vector });
          indexed += 1;
          emit({ kind: 'indexed', at, row });
        }
        await target.saveSome();
        emit({ kind: 'saved', unsaved: target.unsaved });
      }
    } finally {
      await target.tidy();
    }
    tags?.forget();
    return { indexed, unreadable, total_ms: performance.now() - started };
  }, signal),

  async search({ query, filter }, { signal, emit }) {
    const level = await present(cutoff).current();
    signal.throwIfAborted();
    const parts = await scoreParts(query, emit);
    signal.throwIfAborted();
    const total = combine(parts, level);
    const allowed = allowedNow(filter);
    for (const row of query.rows) allowed[row] = 0;
    return { ...rank(total.scores, total.cutoff, allowed), cutoff: total.cutoff.found };
  },

  async browse({ filter }) {
    return { rows: newestFirst(present(album).index, allowedNow(filter)) };
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

  async tag({ labels }, { emit, signal }) {
    const { index } = present(album);
    await index.complete;
    const list = labels ? labels.map((label) => [label, label]) : Object.entries(present(own).labels);
    const asked = list.map(([, sentence = '']) => sentence);
    const vectors = await textVectors(asked, (done) => emit({ kind: 'labels', done, all: list.length }), signal);
    tags ??= new Tags();
    await tags.assign(index, list.map(([label = '']) => label), vectors, await present(cutoff).current(), signal);
    return { tags: tags.counts() };
  },

  async overview() {
    return overview();
  },

  async openFile({ file }) {
    const opened = await present(album).openFile(file);
    tags?.forget();
    return { ...opened, ...overview() };
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
    const { facts } = present(loaded);
    store?.close();
    await deleteAlbums();
    store = await Store.open(facts.space);
    show(await Album.restore(facts, store));
    return overview();
  },
}));

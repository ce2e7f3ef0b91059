/**
 * @file The browser's side of search.py: an index is opened, and searched in three ways, in turns, in one page. Ours is
 * what the worker of photo-search does between the vector of a query and the ranking that the page gets.
 */

import { cos_sim } from './runtime/transformers.min.js';
import { measureCutoff } from './pages/photo-search/cutoff.js';
import { Duplicates } from './pages/photo-search/duplicates.js';
import { allowedRows } from './pages/photo-search/overview.js';
import { combine, rank } from './pages/photo-search/ranking.js';
import { openIndex } from './shared/index-file.js';
import { VectorStore } from './shared/vectors.js';

const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

/** What anybody would write first: one array, one loop, the best so far kept in order. */
function plainLoop(vectors, dimensions, query, limit) {
  const rows = [];
  const scores = [];
  for (let row = 0, at = 0; at < vectors.length; row++) {
    let sum = 0;
    for (let i = 0; i < dimensions; i++, at++) sum += query[i] * vectors[at];
    if (rows.length === limit && sum <= scores[limit - 1]) continue;
    let place = scores.length;
    while (place && scores[place - 1] < sum) place -= 1;
    rows.splice(place, 0, row);
    scores.splice(place, 0, sum);
    rows.length = scores.length = Math.min(rows.length, limit);
  }
  return rows;
}

/** What pages do that are made with transformers.js: its cos_sim for each photo, and a sort of all. */
function cosineAndSort(vectors, query, limit) {
  const scored = vectors.map((vector, row) => ({ row, score: cos_sim(query, vector) }));
  return scored.sort((a, b) => b.score - a.score).slice(0, limit).map(({ row }) => row);
}

const shared = (a, b) => a.filter((row) => b.includes(row)).length;

globalThis.measure = async ({ queries: count, limit, rounds, sentences }) => {
  const [indexFile, vectorFile] = ['index', 'vectors'].map((id) => document.getElementById(id).files[0]);
  const opened = [];
  let index;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    index = await openIndex(indexFile);
    opened.push(performance.now() - started);
  }
  const { dimensions, count: photos } = index;
  const numbers = new Float32Array(await vectorFile.arrayBuffer());
  const original = numbers.subarray(0, photos * dimensions);
  const stored = new Float32Array(photos * dimensions);
  for (let row = 0; row < photos; row++) stored.set(index.vector(row), row * dimensions);
  const list = Array.from({ length: photos }, (_, row) => original.slice(row * dimensions, (row + 1) * dimensions));
  const queries = Array.from({ length: count }, (_, at) => numbers.slice((photos + at) * dimensions, (photos + at + 1) * dimensions));
  const store = new VectorStore(dimensions, { block: 1 });
  store.reserve(photos);
  const { simd } = store;
  const twins = new Duplicates((row) => index.vector(row));
  const neutral = queries.slice(0, sentences).map((query) => query.toReversed()); // as far from all photos as chance has it
  const measure = () => measureCutoff(neutral.map((query) => index.scores(query)));
  let cutoff = measure();
  let filter = { from: null, to: null, folder: '', tag: '', fold: true };
  const find = (query) => {
    const total = combine([{ weight: 1, example: false, scores: index.scores(query) }], cutoff);
    return rank(total.scores, total.cutoff, allowedRows({ index, twins }, filter, null));
  };
  const ways = {
    ours: (query) => [...find(query).rows.subarray(0, limit)],
    loop: (query) => plainLoop(stored, dimensions, query, limit),
    peers: (query) => cosineAndSort(list, query, limit),
  };
  for (const way of Object.values(ways)) for (const query of queries.slice(0, 3)) way(query);
  const times = { ours: [], loop: [], peers: [] };
  let [equal, kept] = [0, 0];
  queries.forEach((query, number) => {
    const found = {};
    for (const [name, way] of Object.entries(ways)) {
      if (name === 'peers' && number % 10) continue; // it takes long, and always the same
      const started = performance.now();
      found[name] = way(query);
      times[name].push(performance.now() - started);
    }
    const listed = found.ours.length; // where nothing matches, the page lists a dozen
    equal += shared(found.ours, found.loop.slice(0, listed)) === listed;
    kept += shared(found.ours, plainLoop(original, dimensions, query, limit).slice(0, listed)) / listed;
  });
  // Photos that were removed, a folder that is asked for, a query that half of the album answers.
  const timesOf = (ask) => queries.map((query) => {
    const started = performance.now();
    ask(query);
    return performance.now() - started;
  });
  filter = { ...filter, from: index.date(photos >> 2), folder: index.name(photos >> 1).split('/')[0] };
  times.filtered = timesOf(find);
  filter = { ...filter, from: null, folder: '' };
  for (let row = 0; row < photos; row += 100) index.remove(row);
  times.removed = timesOf(find);
  const { mean } = cutoff;
  cutoff = { ...cutoff, found: mean, near: mean };
  times.half = timesOf(find);
  const started = performance.now();
  measure();
  const measuring = performance.now() - started;
  return {
    measuring,
    simd,
    opened,
    times,
    medians: Object.fromEntries(Object.entries(times).map(([name, taken]) => [name, median(taken)])),
    equal: equal / count,
    kept: kept / count,
    bytes_per_photo: indexFile.size / photos,
  };
};
document.documentElement.dataset.state = 'ready';

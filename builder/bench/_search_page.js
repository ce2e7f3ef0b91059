/**
 * @file The browser's side of search.py: an index is opened, and searched in three ways, in turns, in one page.
 */

import { cos_sim } from './runtime/transformers.min.js';
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

globalThis.measure = async ({ queries: count, limit, rounds }) => {
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
  const ways = {
    ours: (query) => index.search(query, { limit }).rows,
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
    equal += shared(found.ours, found.loop) === limit;
    kept += shared(found.ours, plainLoop(original, dimensions, query, limit)) / limit;
  });
  return {
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

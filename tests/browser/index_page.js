/**
 * @file What the photo-search page does with an index, laid open to test_index_search.py: the page's own modules without
 * its elements.
 */

import { combine, rank } from './app/pages/photo-search/ranking.js';
import { openIndex } from './app/shared/index-file.js';
import { VectorStore } from './app/shared/vectors.js';

/** Everything matches. */
const ALL = { found: -2, near: -2, mean: 0, deviation: 0 };

/** Open an index by its address, search while it arrives and when it is there, and show a thumbnail. */
globalThis.search = async ({ address, space, queries, limit }) => {
  const progress = [];
  const index = await openIndex(address, { space, onProgress: (one) => progress.push(one) });
  const nearest = (query) => [...rank(index.scores(Float32Array.from(query)), ALL, index.living).rows.slice(0, limit)];
  const early = nearest(queries[0]).length;
  await index.complete;
  const found = queries.map(nearest);
  const thumbnails = await Promise.all([0, 1, 2, index.count - 1].map((row) => index.thumbnail(row)));
  const shown = await Promise.all(thumbnails.map(async (blob) => (await createImageBitmap(blob)).height));
  return { count: index.count, names: index.names(), found, early, progress, shown };
};

globalThis.refuse = async ({ address, space }) => {
  try {
    await openIndex(address, { space });
    return null;
  } catch ({ name, code, message }) {
    return { name, code, message };
  }
};

/** How long a search takes beside a plain loop, in turns, the best of several: milliseconds. */
globalThis.race = ({ photos, dimensions, rounds }) => {
  const codes = new Int8Array(photos * dimensions).map((_, at) => (Math.imul(at, 2654435761) >>> 24) - 128);
  const store = new VectorStore(dimensions, { block: 1 });
  store.append(codes, new Float32Array(photos).fill(1e-3));
  const plain = Float32Array.from(codes, (code) => code * 1e-3);
  const query = Float32Array.from({ length: dimensions }, (_, at) => Math.sin(at * at));
  const loop = () => {
    const scores = new Float32Array(photos);
    for (let row = 0, at = 0; row < photos; row++) {
      let sum = 0;
      for (let i = 0; i < dimensions; i++, at++) sum += query[i] * plain[at];
      scores[row] = sum;
    }
    return scores;
  };
  const allowed = new Uint8Array(photos).fill(1);
  const ours = () => {
    const total = combine([{ weight: 1, example: false, scores: store.scores(query) }], { ...ALL, found: 0.05, near: 0.04 });
    return rank(total.scores, total.cutoff, allowed);
  };
  const best = { ours: Infinity, loop: Infinity };
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries({ ours, loop })) {
      const started = performance.now();
      run();
      best[name] = Math.min(best[name], performance.now() - started);
    }
  }
  return { ...best, simd: store.simd };
};
document.documentElement.dataset.state = 'ready';

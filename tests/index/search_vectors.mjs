/**
 * @file Searches vectors with SIMD, without it, and by a plain loop over float32: node search_vectors.mjs. Its answer
 * says for each number of dimensions how often all three found the same photos.
 */

import { rank } from '../../web_template/pages/photo-search/ranking.js';
import { decodeVector, encodeVector, rotationBlock } from '../../web_template/shared/rotation.js';
import { VectorStore } from '../../web_template/shared/vectors.js';

let seed = 1;
const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const normal = () => Math.sqrt(-2 * Math.log(random() + 1e-12)) * Math.cos(2 * Math.PI * random());
const LIMIT = 50;

function plain(vectors, query, allowed) {
  const scored = vectors.flatMap((vector, row) => {
    if (allowed && !allowed[row]) return [];
    let sum = 0;
    for (let at = 0; at < vector.length; at++) sum += vector[at] * query[at];
    return [{ row, score: sum }];
  });
  return scored.sort((a, b) => b.score - a.score || a.row - b.row).slice(0, LIMIT);
}

/** The same rows in the same order, but for those whose scores differ by less than a query's rounding. */
function alike(rows, expected) {
  const places = new Map(expected.map(({ row, score }) => [row, score]));
  const least = expected.at(-1).score - TIE;
  return rows.length === expected.length && rows.every((row, at) => Math.abs((places.get(row) ?? least) - expected[at].score) < TIE);
}

const TIE = 1e-4;
const answer = {};
for (const [dimensions, count] of [[1, 1100], [16, 1200], [64, 300], [77, 4097], [512, 1501], [768, 1100]]) {
  const block = rotationBlock(dimensions);
  const stores = [new VectorStore(dimensions, { block }), new VectorStore(dimensions, { block, simd: false })];
  const vectors = [];
  for (let row = 0; row < count; row++) {
    // Some are near others, as photos of one moment are; one component stands out.
    const vector = Float32Array.from({ length: dimensions }, (_, at) => normal() + (at ? 0 : 5) + (row % 10 ? 0 : 3));
    const { codes, scale } = encodeVector(vector);
    vectors.push(decodeVector(codes, scale, block));
    for (const store of stores) store.append(codes, Float32Array.of(scale));
  }
  const result = { simd: stores.map(({ simd }) => simd), queries: 0, same: 0, apart: 0, filtered: 0, floored: 0 };
  for (let number = 0; number < 8; number++) {
    const query = Float32Array.from({ length: dimensions }, (_, at) => normal() + (at ? 0 : 4));
    const length = Math.hypot(...query);
    const unit = query.map((value) => value / length);
    const expected = plain(vectors, unit);
    const everybody = new Uint8Array(count).fill(1);
    const nearest = (store, allowed, found = -2) => {
      const ranking = rank(store.scores(query), { found, near: found }, allowed); // the query's length does not matter
      return [...ranking.rows.slice(0, found > -2 ? ranking.found : LIMIT)];
    };
    result.queries += 1;
    result.same += stores.every((store) => alike(nearest(store, everybody), expected));
    const scores = stores[0].scores(query);
    for (const { row, score } of expected) result.apart = Math.max(result.apart, Math.abs(scores[row] - score));
    const allowed = Uint8Array.from({ length: count }, (_, row) => row % 3 === number % 3);
    result.filtered += alike(nearest(stores[0], allowed), plain(vectors, unit, allowed));
    const floor = (expected[9].score + expected[10].score) / 2;
    result.floored += nearest(stores[0], everybody, floor).length === 10;
  }
  answer[dimensions] = result;
}
process.stdout.write(JSON.stringify(answer));

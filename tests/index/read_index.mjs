/** @file Reads an index with the page's own module: node read_index.mjs INDEX QUERIES.json; its answer is JSON. */

import { openAsBlob } from 'node:fs';
import { readFile } from 'node:fs/promises';

import { rank } from '../../web_template/pages/photo-search/ranking.js';
import { openIndex } from '../../web_template/shared/index-file.js';

const [path, queries] = process.argv.slice(2);
const index = await openIndex(await openAsBlob(path));
const wanted = JSON.parse(await readFile(queries, 'utf8'));
const photos = await Promise.all(index.names().map(async (name, row) => {
  const thumbnail = await index.thumbnail(row);
  return {
    name,
    size: index.size(row),
    modified: index.modified(row),
    date: index.date(row),
    place: index.place(row),
    hash: index.hash(row),
    vector: [...index.vector(row)],
    thumbnail: thumbnail && Buffer.from(await thumbnail.arrayBuffer()).toString('base64'),
  };
}));
const found = wanted.map((query) => {
  const { rows, scores } = rank(index.scores(Float32Array.from(query)), { found: -2, near: -2 }, index.living);
  return { rows: [...rows.slice(0, 10)], scores: [...scores.slice(0, 10)] };
});
process.stdout.write(JSON.stringify({ space: index.space, model: index.model, dimensions: index.dimensions, rounding: index.rounding, photos, found }));

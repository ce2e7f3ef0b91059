/**
 * @file Writes an index with the page's own module: node write_index.mjs PHOTOS.json INDEX. Half of the photos are added
 * one by one, the others arrive in files of their own, and one that was there is removed again.
 */

import { readFile, writeFile } from 'node:fs/promises';

import { createIndex } from '../../web_template/shared/index-file.js';

const [from, to] = process.argv.slice(2);
const { facts, photos } = JSON.parse(await readFile(from, 'utf8'));
const all = photos.map((photo) => ({
  ...photo,
  date: photo.date ?? NaN,
  vector: Float32Array.from(photo.vector),
  thumbnail: photo.thumbnail && new Uint8Array(Buffer.from(photo.thumbnail, 'base64')),
}));
const index = createIndex(facts);
const half = all.length >> 1;
for (const photo of all.slice(0, half)) index.add(photo);
index.remove(index.add({ ...all[0], name: 'gone.jpg' }));
const chunks = [all.slice(half, half + 3), all.slice(half + 3)].map((some) => {
  const chunk = createIndex(facts);
  for (const photo of some) chunk.add(photo);
  return chunk.encode();
});
await Promise.all((await Promise.all(chunks)).map((chunk) => index.append(chunk))); // in order, though asked for at once
await writeFile(to, Buffer.from(await (await index.encode()).arrayBuffer()));

/** @file Opens damaged copies of an index: node fuzz_index.mjs INDEX. Each is read, or refused with an IndexError. */

import { readFile } from 'node:fs/promises';

import { IndexError, openIndex } from '../../web_template/shared/index-file.js';

const content = new Uint8Array(await readFile(process.argv[2]));
let seed = 99;
const random = (below) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % below; // Numerical Recipes' generator
let [opened, refused] = [0, 0];

async function attempt(bytes) {
  try {
    const index = await openIndex(bytes);
    const rows = Array.from({ length: index.count }, (_, row) => row);
    await Promise.all(rows.map((row) => [index.date(row), index.place(row), index.hash(row), index.thumbnail(row)]).map((all) => all[3]));
    index.scores(new Float32Array(index.dimensions).fill(1));
    opened += 1;
  } catch (error) {
    if (!(error instanceof IndexError) || !error.message.endsWith('.')) throw error;
    refused += 1;
  }
}

for (let length = 0; length < content.length; length += 97) await attempt(content.slice(0, length));
const cut = refused;
for (let round = 0; round < 1000; round++) {
  const changed = content.slice();
  for (let count = 1 + random(4); count; count--) changed[random(random(5) ? 800 : content.length)] = random(256);
  await attempt(changed);
}
process.stdout.write(JSON.stringify({ cut, opened, refused: refused - cut }));

/** @file Perceptual hashes of raw pictures: node hash_pictures.mjs '[[PATH, WIDTH, HEIGHT], ...]'. */

import { readFile } from 'node:fs/promises';

import { hammingDistance, perceptualHash } from '../../web_template/shared/perceptual.js';

const hashes = [];
for (const [path, width, height] of JSON.parse(process.argv[2])) hashes.push(perceptualHash(await readFile(path), width, height));
const distances = [[[0, 0], [2 ** 32 - 1, 2 ** 32 - 1]], [[5, 6], [5, 6]], [[2 ** 31, 0], [0, 0]]].map(([a, b]) => hammingDistance(a, b));
process.stdout.write(JSON.stringify({ hashes, distances }));

// The search page's arithmetic in Node: what a query means, how parts add up, what changed in a folder, who are twins.
import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';
import test from 'node:test';

const template = pathToFileURL(`${process.env.WEB_TEMPLATE}/`);
const load = (path) => import(new URL(path, template).href);
const { parseQuery, isCompound } = await load('pages/photo-search/terms.js');
const { combine, rank } = await load('pages/photo-search/ranking.js');
const { likeCutoff, measureCutoff } = await load('pages/photo-search/cutoff.js');
const { compare, keyOf } = await load('pages/photo-search/listing.js');
const { Duplicates } = await load('pages/photo-search/duplicates.js');
const { createIndex, encodeIndex, openIndex } = await load('shared/index-file.js');
const { packNames, unpackNames } = await load('shared/index-names.js');

const terms = (query) => parseQuery(query).map(({ text, weight }) => `${weight}*${text}`);
const CUTOFF = { found: 0.5, near: 0.4, mean: 0.1, deviation: 0.1 };

test('words without a mark stay one sentence', () => {
  assert.deepEqual(terms('yellow cup'), ['1*yellow cup']);
  assert.equal(isCompound(parseQuery('yellow cup')), false);
});

test('minus, weight and quotes make terms of their own', () => {
  assert.deepEqual(terms('dog -beach 2:red'), ['1*dog', '-1*beach', '2*red']);
  assert.deepEqual(terms('"golden retriever" -"a wet street" 0.5:"blue sky"'), ['1*golden retriever', '-1*a wet street', '0.5*blue sky']);
  assert.deepEqual(terms('－夜晚 2：红色'), ['-1*夜晚', '2*红色']);
  assert.deepEqual(terms('well-known person'), ['1*well-known person'], 'a hyphen inside a word is no minus');
});

test('a query of nothing, of marks only, of an open quote is no error', () => {
  for (const query of ['', '   ', '-', '""', '-""', '0:dog']) assert.deepEqual(terms(query), [], query);
  assert.deepEqual(terms('"open end'), ['1*open end']);
  assert.deepEqual(terms('1e9:x'), ['1*1e9:x']);
  assert.equal(parseQuery('999:red')[0].weight, 20);
});

test('what is not wanted takes away only above chance', () => {
  const wanted = { weight: 1, example: false, scores: Float32Array.of(0.8, 0.8, 0.2) };
  const without = { weight: -1, example: false, scores: Float32Array.of(0.05, 0.7, 0.0) };
  const { scores } = combine([wanted, without], CUTOFF);
  assert.ok(Math.abs(scores[0] - 0.8) < 1e-6);
  assert.ok(Math.abs(scores[1] - 0.2) < 1e-6);
});

test('a ranking keeps its order, its cut-off and its filter', () => {
  const scores = Float32Array.of(0.45, 0.9, -Infinity, 0.6, 0.2, 0.9);
  const ranking = rank(scores, CUTOFF, (row) => row !== 3);
  assert.deepEqual([...ranking.rows], [1, 5, 0, 4]);
  assert.deepEqual([ranking.found, ranking.near, ranking.searched], [2, 1, 4]);
});

test('an album that answers nonsense as well as the query has no match', () => {
  const nonsense = Array.from({ length: 24 }, (_, i) => Float32Array.from({ length: 200 }, (_, row) => 0.2 + 0.05 * Math.sin(i * 7 + row)));
  const { found, near, mean } = measureCutoff(nonsense);
  assert.ok(found > 0.25 && near < found && Math.abs(mean - 0.2) < 0.01);
});

test('the photo itself is found in an album of few that are much alike', () => {
  const scores = Float32Array.of(0.6, 0.95, 0.55, 0.94, 0.58, 0.999, 0.93);
  const { found, near } = likeCutoff(scores);
  assert.ok(scores[5] >= found && scores[1] < found && near <= found);
  assert.ok(likeCutoff(Float32Array.of(0.1, 0.2, 0.3, 0.2, 0.1)).found < 0.5);
});

test('a listing tells new, changed, gone and namesakes apart', () => {
  const file = (name, size = 1, modified = 1) => ({ name, size, modified });
  const rows = new Map([file('A/x.jpg'), file('A/y.jpg'), file('A/z.jpg'), file('loose.jpg')].map((each, row) => [keyOf(each), row]));
  const changed = compare([file('A/x.jpg'), file('A/y.jpg', 2), file('A/new.jpg')], 'A', true, rows);
  assert.deepEqual(changed.fresh.map(({ name }) => name), ['A/y.jpg', 'A/new.jpg']);
  assert.deepEqual(changed.gone.toSorted(), [1, 2]);
  assert.deepEqual(compare([file('A/x.jpg')], 'A', false, rows).gone, [], 'a folder that could not be listed whole loses nothing');
  const namesake = compare([file('A/1.jpg'), file('A/2.jpg')], 'A', true, rows);
  assert.deepEqual([namesake.fresh.map(({ name }) => name), namesake.gone], [['A (2)/1.jpg', 'A (2)/2.jpg'], []]);
  assert.deepEqual(compare([file('loose.jpg', 5)], '', true, rows).gone, [], 'a single file replaces nothing');
  assert.equal(compare([file('B/1.jpg'), file('B/1.jpg')], 'B', true, rows).fresh.length, 1);
});

test('twins are alike in hash and in vector', () => {
  const vectors = [Float32Array.of(1, 0), Float32Array.of(0.999, 0.0447), Float32Array.of(0, 1), Float32Array.of(1, 0)];
  const twins = new Duplicates((row) => vectors[row]);
  [[0, 0x80000000], [1, 0x80000000], [0, 0x80000000], [0xffffffff, 0]].forEach((hash, row) => twins.add(row, hash));
  assert.deepEqual([0, 1, 2, 3].map((row) => twins.leader(row)), [0, 0, 2, 3]);
  assert.deepEqual([twins.twins(0), twins.twins(1), twins.folded], [[1], [0], 1]);
});

test('of a thousand hashes exactly those within six bits are twins', () => {
  let seed = 7;
  const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0); // Numerical Recipes' generator
  const twins = new Duplicates(() => Float32Array.of(1));
  const hashes = Array.from({ length: 1000 }, () => [random(), random()]);
  hashes.forEach((hash, row) => twins.add(row, hash));
  assert.equal(twins.folded, 0);
  for (let row = 0; row < 1000; row++) {
    const flips = row % 8; // spread over all quarters, or close together
    const copy = [...hashes[row]];
    for (let flip = 0; flip < flips; flip++) copy[flip & 1] ^= 1 << ((row + (row % 3 ? 5 * flip : flip >> 1)) % 32);
    twins.add(1000 + row, copy);
    assert.equal(twins.leader(1000 + row), flips <= 6 ? row : 1000 + row, `${flips} bits of ${row}`);
  }
});

test('many photos of one hash and different looks hold nobody up', () => {
  const twins = new Duplicates((row) => Float32Array.from({ length: 300 }, (_, at) => Number(at === row)));
  for (let row = 0; row < 300; row++) twins.add(row, [1, 2]);
  assert.equal(twins.folded, 0);
});

test('a name that leads out of its folder is refused wherever it stands', () => {
  for (const bad of ['', '.', '..', '/a', 'a/', 'a//b', 'a/../b', 'a/.', 'a/..', '../a', './a', 'a/./b', 'a\u0001', 'a\nb', 'a\u007f']) {
    const good = ['a', 'a.', 'a..b', '.a', 'a/.b', 'a/...', '...', 'a/b..', '照片/é.jpg'];
    const before = bad && !bad.includes('\n') ? [`${bad}x`] : [];
    assert.deepEqual(unpackNames(packNames(good), good.length), good);
    for (const names of [[bad, ...good], [...good, bad], [...before, bad]]) {
      assert.throws(() => unpackNames(packNames(names), names.length), { name: 'IndexError' }, JSON.stringify(names));
    }
  }
});

test('an index whose file goes away while it is read leaves the album as it was', async () => {
  const facts = { space: '5a'.repeat(32), model: 'm', dimensions: 4 };
  const photo = (name, direction) => ({
    name, size: 1, modified: 1, date: NaN, place: null, hash: null, vector: Float32Array.from({ length: 4 }, (_, at) => Number(at === direction)),
  });
  const file = await encodeIndex(facts, [photo('new.jpg', 1)]);
  const vectors_from = file.size - facts.dimensions;
  class Goes extends Blob {
    slice(from, to) {
      return from >= vectors_from ? { arrayBuffer: () => Promise.reject(new DOMException('gone', 'NotReadableError')) } : super.slice(from, to);
    }
  }
  const index = createIndex(facts);
  index.add(photo('old.jpg', 0));
  await assert.rejects(index.append(new Goes([file])), { name: 'IndexError', code: 'network' });
  const row = index.add(photo('next.jpg', 2));
  assert.equal(index.alive, 2);
  assert.deepEqual(index.search(Float32Array.of(0, 1, 1, 0), { limit: 5 }).rows, [row, 0]);
  const copy = await openIndex(await index.encode());
  assert.deepEqual(copy.names(), ['old.jpg', 'next.jpg']);
});

// The search page's arithmetic in Node: what a query means, how parts add up, what changed in a folder, who are twins.
import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';
import test from 'node:test';

const template = pathToFileURL(`${process.env.WEB_TEMPLATE}/`);
const load = (path) => import(new URL(path, template).href);
const { parseQuery, isCompound } = await load('pages/photo-search/terms.js');
const { combine, rank } = await load('pages/photo-search/ranking.js');
const { measureCutoff } = await load('pages/photo-search/cutoff.js');
const { compare, keyOf } = await load('pages/photo-search/listing.js');
const { Duplicates } = await load('pages/photo-search/duplicates.js');

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

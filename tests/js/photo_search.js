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
const { allowedRows, newestFirst } = await load('pages/photo-search/overview.js');
const { MeasuredCutoff } = await load('pages/photo-search/cutoff.js');
const { readSentences, towerId } = await load('pages/photo-search/sentences.js');
const { Turns } = await load('pages/photo-search/turns.js');
const { roundingOf } = await load('pages/photo-search/model.js');
const { fromFiles, fromFolder, fromEntry } = await load('pages/photo-search/intake.js');
const { createIndex, openIndex } = await load('shared/index-file.js');
const { encodeVector } = await load('shared/rotation.js');
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
  const ranking = rank(scores, CUTOFF, Uint8Array.of(1, 1, 1, 0, 1, 1));
  assert.deepEqual([...ranking.rows], [1, 5, 0, 4]);
  assert.deepEqual([ranking.found, ranking.near, ranking.searched], [2, 1, 4]);
});

test('when nothing matches, those just below are counted and the nearest are at hand', () => {
  const scores = Float32Array.from({ length: 40 }, (_, row) => (row % 10 === 7 ? 0.42 + row / 1000 : -0.3 + row / 100));
  const { rows, found, near } = rank(scores, CUTOFF, new Uint8Array(40).fill(1));
  assert.deepEqual([found, near, rows.length], [0, 4, 12]);
  assert.deepEqual([...rows.slice(0, 6)], [37, 27, 17, 7, 39, 38]);
});

test('a ranking of any size and sign is in the order of its scores', () => {
  for (const count of [0, 1, 3, 1000, 5_000_000]) {
    const scores = Float32Array.from({ length: count }, (_, row) => Math.sin(row * row));
    const { rows, scores: sorted, found, near } = rank(scores, { ...CUTOFF, found: 0.2, near: -0.3 }, new Uint8Array(count).fill(1));
    assert.equal(found, scores.filter((score) => score >= Math.fround(0.2)).length);
    const apart = count > 2 ** 21 ? 1e-6 : 0; // the last bits of a score give way to those of a row
    for (let at = 1; at < found + near; at++) assert.ok(sorted[at - 1] >= sorted[at] - apart && scores[rows[at]] === sorted[at], `${count} ${at}`);
  }
});

/** An index of photos with these names, whose vectors are the unit ones. */
function indexOf(names, { dates = [], dimensions = 8 } = {}) {
  const index = createIndex({ space: '5a'.repeat(32), model: 'm', dimensions });
  names.forEach((name, row) => index.add({
    name, size: 1, modified: 1, date: dates[row] ?? NaN, place: null, hash: null, vector: Float32Array.from({ length: dimensions }, (_, at) => Number(at === row % dimensions)),
  }));
  return index;
}
const EVERYTHING = { from: null, to: null, folder: '', tag: '', fold: false };

test('filters leave what passes all of them, newest first', () => {
  const index = indexOf(['a/1.jpg', 'a/2.jpg', 'ab/3.jpg', 'a/4.jpg', 'a/5.jpg'], { dates: [100, 200, 300, NaN, 400] });
  index.remove(4);
  const twins = new Duplicates((row) => index.vector(row));
  const passing = (filter, tagged = null) => [...newestFirst(index, allowedRows({ index, twins }, { ...EVERYTHING, ...filter }, tagged))];
  assert.deepEqual(passing({}), [2, 1, 0, 3]);
  assert.deepEqual(passing({ from: 100, to: 250 }), [1, 0], 'a photo without a date passes no filter of dates');
  assert.deepEqual(passing({ folder: 'a' }), [1, 0, 3]);
  assert.deepEqual(passing({ folder: 'a' }, new Set([0, 2, 4])), [0]);
});

test('of photos that show the same one is shown, whichever of them pass the filters', () => {
  const index = indexOf(['a/1.jpg', 'b/1.jpg', 'b/1 copy.jpg', 'b/2.jpg'], { dimensions: 1 });
  const twins = new Duplicates(() => Float32Array.of(1));
  [[1, 0], [1, 0], [1, 0], [-1 >>> 0, -1 >>> 0]].forEach((hash, row) => twins.add(row, hash));
  const shown = (folder) => [...newestFirst(index, allowedRows({ index, twins }, { ...EVERYTHING, fold: true, folder }, null))];
  assert.deepEqual([shown(''), shown('a'), shown('b')], [[0, 3], [0], [1, 3]]);
});

test('a large album is measured once, and again when nobody waits', async () => {
  let asked = 0;
  const index = { alive: 30_000, scores: () => (asked += 1, Float32Array.of(0.1, 0.2, 0.3)) };
  const cutoff = new MeasuredCutoff(index, async () => [Float32Array.of(1), Float32Array.of(1)]);
  const first = await cutoff.current();
  assert.equal(asked, 2);
  assert.equal(await cutoff.current(), first);
  index.alive = 35_000;
  assert.equal(await cutoff.current(), first, 'an answer does not wait for a tenth more');
  while (asked < 4) await new Promise((resolve) => setTimeout(resolve, 1));
  index.alive = 80_000;
  assert.notEqual(await cutoff.current(), first, 'twice as many are another album');
});

test('vectors of the same weights are told from those that are rounded otherwise', () => {
  const manifest = { components: { vision_model: { fp32: {}, fp16: { recipe: 'fp16' }, q4: { recipe: 'q4 k-quant b32 sym' }, q4f16: { recipe: 'q4f16 k-quant b32 sym' }, q8: { recipe: null } } } };
  const made = Object.fromEntries(Object.keys(manifest.components.vision_model).map((dtype) => [dtype, roundingOf(manifest, dtype)]));
  assert.deepEqual(made, { fp32: 'fp32', fp16: 'fp32', q4: 'q4 k-quant b32 sym', q4f16: 'q4 k-quant b32 sym', q8: 'q8' });
});

test('vectors of sentences are taken for these words and this text encoder only', async () => {
  const vector = Float32Array.from({ length: 24 }, (_, at) => Math.sin(at + 1) / Math.sqrt(12));
  const code = Buffer.from(encodeVector(vector).codes.buffer).toString('base64');
  const text = JSON.stringify({ labels: { dog: 'a dog', cat: 'a cat' }, neutral: ['a rumour'], vectors: [{ towers: ['q4', 'q4f16 1 2'], codes: { 'a dog': code, 'a rumour': code } }] });
  const url = `data:application/json,${encodeURIComponent(text)}`;
  const encoder = { sha256: 'q4f16', data: [{ sha256: '1' }, { sha256: '2' }] };
  const { labels, neutral, vectorsOf } = await readSentences(url, towerId(encoder));
  assert.deepEqual([labels.cat, neutral], ['a cat', ['a rumour']]);
  const found = vectorsOf(['a rumour', 'a dog']);
  assert.equal(found.length, 2);
  const length = Math.hypot(...vector);
  assert.ok(found[1].reduce((sum, value, at) => sum + (value * vector[at]) / length, 0) > 0.9999);
  assert.equal(vectorsOf(['a dog', 'a cat']), null, 'a sentence that has none is computed');
  for (const other of [{ ...encoder, data: [] }, { sha256: 'q8', data: [] }, undefined]) {
    assert.equal((await readSentences(url, towerId(other))).vectorsOf(['a dog']), null, 'another encoder finds none');
  }
  await assert.rejects(readSentences('data:text/html,<p>no such file', ''), { name: 'DownloadError' });
});

test('photos are open at a time as far as there is room, in order, each in the end', async () => {
  const turns = new Turns(24);
  let [open, most] = [0, 0];
  const done = [];
  const work = async (amount, at) => {
    open += Math.min(amount, 24);
    most = Math.max(most, open);
    await new Promise((resolve) => setTimeout(resolve, 1));
    open -= Math.min(amount, 24);
    done.push(at);
    if (at === 3) throw new Error('damaged');
  };
  const all = [12, 12, 12, 100, 1, 1, 1, 8, 24].map((amount, at) => turns.take(amount, () => work(amount, at)));
  const settled = await Promise.allSettled(all);
  assert.equal(settled.filter(({ status }) => status === 'rejected').length, 1);
  assert.deepEqual([most, open, done.length], [24, 0, 9]);
});

test('files that the system refuses are named and cost nobody else', async () => {
  const file = (name) => new File(['x'], name, { lastModified: 1 });
  const handle = (name) => ({ kind: 'file', getFile: () => (name.startsWith('locked') ? Promise.reject(new DOMException('no', 'NotReadableError')) : Promise.resolve(file(name))) });
  const names = ['locked.JPG', 'a.jpg', 'b.png', 'locked.txt', 'notes.txt'];
  const folder = { kind: 'directory', name: 'Album', async* entries() { for (const name of names) yield [name, handle(name)]; } };
  const entry = (name) => ({
    isDirectory: false, fullPath: `/Album/${name}`, file: (taken, refused) => (name.startsWith('locked') ? refused(new DOMException('no')) : taken(file(name))),
  });
  const lists = [names.map(entry), []];
  const dropped = { name: 'Album', createReader: () => ({ readEntries: (taken) => taken(lists.shift()) }) };
  for (const { photos, unreadable, others, complete } of [await fromFolder(folder), await fromEntry(dropped)]) {
    assert.deepEqual(photos.map(({ name }) => name), ['Album/a.jpg', 'Album/b.png']);
    assert.deepEqual([unreadable, others, complete], [['Album/locked.JPG'], 2, false], 'what cannot be read is not gone');
  }
});

test('forty thousand files are taken in at once', () => {
  const files = Array.from({ length: 40_000 }, (_, at) => ({ name: `${at}.jpg`, type: 'image/jpeg', size: 1, lastModified: 1, webkitRelativePath: `A/${at % 50}/${at}.jpg` }));
  const [arrival] = fromFiles(files);
  assert.equal(arrival.photos.length, 40_000);
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
  const made = createIndex(facts);
  made.add(photo('new.jpg', 1));
  const file = await made.encode();
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
  const ranking = rank(index.scores(Float32Array.of(0, 1, 1, 0)), { found: -2, near: -2 }, index.living);
  assert.deepEqual([...ranking.rows], [row, 0]);
  const copy = await openIndex(await index.encode());
  assert.deepEqual(copy.names(), ['old.jpg', 'next.jpg']);
});

/** @file What shared/sentences.js makes of a model's words. Argument: the web_template folder. */
import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';

const { firstSentence, languageOf, wholeSentence } = await import(pathToFileURL(process.argv[2] + '/shared/sentences.js').href);

assert.equal(wholeSentence('  a red cup\n left of a ball '), 'A red cup left of a ball.');
assert.equal(wholeSentence('There is a cup. Beside it stands a b', true), 'There is a cup.');
assert.equal(wholeSentence('There is a cup of Mr. Bean beside a b', true), 'There is a cup of Mr. Bean beside a b…');
assert.equal(wholeSentence('no end in sight', true), 'No end in sight…', 'half a sentence is not made to look whole');
assert.equal(wholeSentence('', true), '');

assert.equal(firstSentence('The cat is sitting'), '');
assert.equal(firstSentence('A cat. '), '', 'nobody knows yet what follows');
assert.equal(firstSentence('A cat. It sl'), 'A cat.');
assert.equal(firstSentence('A cat.', true), 'A cat.');
assert.equal(firstSentence('House No. 5 is'), '', 'a number, no sentence');
assert.equal(firstSentence('No. There is no car.'), 'No.', 'an answer');
assert.equal(firstSentence('Mr. Bean waves. He laughs.'), 'Mr. Bean waves.');
assert.equal(firstSentence('It costs 3.50 euros. It is'), 'It costs 3.50 euros.');
assert.equal(firstSentence('一只猫。它在'), '一只猫。', 'no blank follows in Chinese');

assert.equal(languageOf('a red cup'), 'en');
assert.equal(languageOf('三个黄色的杯子'), 'zh');
assert.equal(languageOf('赤いカップがある'), 'ja');
assert.equal(languageOf('빨간 컵'), 'ko');

/**
 * @file Sentences in what a model writes: where the first one ends, how one is said aloud, in which language it is.
 */

const END = /[.!?]+["”’)]?(?=\s|$)|[。！？]+[”’」）]?/gu;
/** A full stop behind these ends no sentence; behind “No” it does unless a number follows. */
const SHORTENED = /(?:^|[\s("“])(?:Mr|Mrs|Ms|Dr|Prof|St|Fig|vs|approx|e\.g|i\.e|(Nos?))\.$/i;

/** Where sentences end. @param {string} text @returns {Generator<number>} */
function* ends(text) {
  for (const { 0: mark, index } of text.matchAll(END)) {
    const end = index + mark.length;
    const [shortened, number] = SHORTENED.exec(text.slice(0, end)) ?? [];
    if (shortened === undefined || (number && !/^\s+\d/.test(text.slice(end)))) yield end;
  }
}

/**
 * The first sentence of a text that is still being written.
 *
 * @param {string} text
 * @param {boolean} [done] nothing more comes
 * @returns {string} empty until another sentence has begun behind it
 */
export function firstSentence(text, done = false) {
  for (const end of ends(text)) if (done || /^\s*\S/.test(text.slice(end))) return text.slice(0, end).trim();
  return '';
}

/**
 * Make a sentence of what a model wrote: begun large, ended with a full stop, and without the rest of one that was cut
 * off where there are whole ones before it.
 *
 * @param {string} text
 * @param {boolean} [cut] the model was stopped by its limit, not by its own end
 */
export function wholeSentence(text, cut = false) {
  let sentence = text.trim().replace(/\s+/g, ' ');
  if (cut) sentence = sentence.slice(0, [...ends(sentence)].at(-1) ?? sentence.length);
  if (!sentence) return '';
  const begun = sentence.charAt(0).toLocaleUpperCase() + sentence.slice(1);
  if (/[.!?…。！？]["”’」）)]?$/u.test(begun)) return begun;
  return begun + (cut ? '…' : '.');
}

/** @type {[string, RegExp][]} scripts that are of one language, as far as a voice is concerned */
const SCRIPTS = [
  ['ja', /[\u3040-\u30ff]/],
  ['ko', /[\uac00-\ud7af]/],
  ['zh', /[\u4e00-\u9fff]/],
  ['ru', /[\u0400-\u04ff]/],
  ['ar', /[\u0600-\u06ff]/],
  ['he', /[\u0590-\u05ff]/],
  ['hi', /[\u0900-\u097f]/],
  ['th', /[\u0e00-\u0e7f]/],
  ['el', /[\u0370-\u03ff]/],
];

/** The language of a model's words, by their script: models that write Latin letters here write English. @param {string} text */
export const languageOf = (text) => SCRIPTS.find(([, script]) => script.test(text))?.[0] ?? 'en';

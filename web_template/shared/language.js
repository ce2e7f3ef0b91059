/**
 * @file Words in the visitor's language. English stands in the code and is the key; zh.js beside this file and the
 * page's own zh.js hold the Chinese.
 *
 * `openLanguage` once at the start, then `t('{count} photos', { count })`. Static HTML is marked instead: `data-t` on an
 * element whose whole text is one sentence (the page's title needs no mark), `data-t-attr="aria-label placeholder"` on one
 * whose attributes are words.
 * What a script has written it writes anew when `onLanguage` calls. Captions are the model's words and stay as they are.
 */

/** @import { Later, Text } from './protocol.js' */
/** @typedef {'en' | 'zh'} Language */
/** @typedef {Record<string, string>} Words English → the other language; `{name}` stands where a value goes */

/** @type {Record<Language, string>} how each language calls itself */
export const LANGUAGES = { en: 'English', zh: '中文' };
const KEPT = 'webgpu-demo/language';

/** @type {Language} */
let current = 'en';
/** @type {Words} */
let words = {};
/** Where the page keeps its own words. @type {URL | null} */
let ownWords = null;
/** What each marked piece said in English: text under '', attributes under their names. @type {WeakMap<Element, Map<string, string>>} */
const originals = new WeakMap();
/** @type {(() => void)[]} */
const listeners = [];

export const language = () => current;

/**
 * Put a sentence into the visitor's language. One without a translation stays English.
 *
 * @param {Text} text
 * @param {Record<string, Text | number>} [values] for the `{name}`s in it
 * @returns {string}
 */
export function t(text, values = {}) {
  if (typeof text !== 'string') return t(text.text, text.values);
  return (words[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name] ?? whole;
    return typeof value === 'object' ? t(value) : String(value);
  });
}

/**
 * A sentence to be put into words when it is shown, in the language of then.
 *
 * @param {string} text
 * @param {Record<string, Text | number>} [values]
 * @returns {Later}
 */
export const later = (text, values = {}) => ({ text, values });

/** Call back after the language has changed. @param {() => void} listener */
export function onLanguage(listener) {
  listeners.push(listener);
}

/**
 * Choose the language (`?lang=`, the visitor's last choice, the browser's wish, English) and translate the page's HTML.
 *
 * @param {URL} [pageWords] the page's own zh.js
 */
export async function openLanguage(pageWords) {
  ownWords = pageWords ?? null;
  const wishes = [new URLSearchParams(location.search).get('lang'), kept(), ...navigator.languages];
  const found = wishes.map((wish) => wish?.toLowerCase().split('-')[0]).find((wish) => wish !== undefined && wish in LANGUAGES);
  await setLanguage(/** @type {Language} */ (found ?? 'en'), false);
}

/**
 * Change the language of the page in place.
 *
 * @param {Language} wanted
 * @param {boolean} [remember] on the next visit, too
 */
export async function setLanguage(wanted, remember = true) {
  words = wanted === 'en' ? {} : await loadWords(wanted);
  current = wanted;
  document.documentElement.lang = wanted === 'zh' ? 'zh-CN' : wanted;
  if (remember) keep(wanted);
  translate(document);
  for (const listener of listeners) listener();
}

/** Translate marked HTML, also such as a script has just added. @param {ParentNode} root */
export function translate(root) {
  for (const element of root.querySelectorAll('head > title, [data-t]')) element.textContent = t(original(element, '', element.textContent));
  for (const element of root.querySelectorAll('[data-t-attr]')) {
    for (const name of (element.getAttribute('data-t-attr') ?? '').split(' ')) {
      element.setAttribute(name, t(original(element, name, element.getAttribute(name))));
    }
  }
}

/** @param {Element} element @param {string} name @param {string | null} present */
function original(element, name, present) {
  const known = originals.get(element) ?? new Map();
  originals.set(element, known);
  if (!known.has(name)) known.set(name, (present ?? '').trim().replace(/\s+/g, ' '));
  return /** @type {string} */ (known.get(name));
}

/** @param {Language} wanted @returns {Promise<Words>} */
async function loadWords(wanted) {
  const files = [new URL(`./${wanted}.js`, import.meta.url), ...(ownWords ? [ownWords] : [])];
  const tables = await Promise.all(files.map((file) => import(file.href)));
  return Object.assign({}, ...tables.map((table) => table.WORDS));
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // storage is refused here (a frame of another site, a private window); the browser's wish counts
  }
}

/** @param {Language} wanted */
function keep(wanted) {
  try {
    localStorage.setItem(KEPT, wanted);
  } catch {
    // not remembered; the choice still holds until the page is closed
  }
}

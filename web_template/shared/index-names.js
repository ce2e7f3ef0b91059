/**
 * @file Names of photos as an index holds them: front-coded, in blocks of 64. builder/album/names.py has the description.
 */

import { damaged } from './index-layout.js';

const BLOCK = 64;
const LONGEST = 4096;

/** @param {readonly string[]} names @returns {Uint8Array<ArrayBuffer>} the section */
export function packNames(names) {
  const encoder = new TextEncoder();
  const blocks = Math.ceil(names.length / BLOCK);
  const starts = new Uint32Array(blocks + 1);
  /** @type {number[]} */
  const bytes = [];
  let last = new Uint8Array();
  names.forEach((name, row) => {
    const letters = encoder.encode(name);
    let shared = 0;
    if (row % BLOCK === 0) starts[row / BLOCK] = bytes.length;
    else while (shared < last.length && shared < letters.length && last[shared] === letters[shared]) shared += 1;
    bytes.push(...varint(shared), ...varint(letters.length - shared), ...letters.subarray(shared));
    last = letters;
  });
  starts[blocks] = bytes.length;
  const section = new Uint8Array(starts.byteLength + bytes.length);
  section.set(new Uint8Array(starts.buffer));
  section.set(bytes, starts.byteLength);
  return section;
}

/**
 * Read the section.
 *
 * @param {Uint8Array} section
 * @param {number} count
 * @returns {string[]}
 * @throws {import('./index-layout.js').IndexError} when it contradicts itself, or holds what is no name
 */
export function unpackNames(section, count) {
  const blocks = Math.ceil(count / BLOCK);
  const table = 4 * (blocks + 1);
  if (section.length < table) throw damaged('its names are cut off');
  const starts = new Uint32Array(section.slice(0, table).buffer);
  if (starts[0] !== 0 || starts[blocks] !== section.length - table) throw damaged('its names lie outside their section');
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  /** Names of one block with line feeds between them: decoding all of it at once is ten times as fast as each alone. */
  const text = new Uint8Array(BLOCK * (LONGEST + 1));
  /** @type {string[]} */
  const names = [];
  for (let block = 0; block < blocks; block++) {
    const [from, to] = /** @type {[number, number]} */ ([starts[block], starts[block + 1]]);
    if (to < from) throw damaged('its names lie outside their section');
    const expected = Math.min(BLOCK, count - block * BLOCK);
    const length = unfold(section, table + from, table + to, expected, text);
    try {
      names.push(...decoder.decode(text.subarray(0, length)).split('\n'));
    } catch {
      throw damaged('a name is no UTF-8');
    }
  }
  return names;
}

/** What no name may have, in names with line feeds around them: control characters, and parts that are "", "." or "..". */
const BAD = /[\0-\x09\x0b-\x1f\x7f]|[\n/]\.{0,2}[\n/]/;

/**
 * Names become addresses and names of downloads: nothing that leads out of a folder, nothing that cannot be seen.
 *
 * @param {string} name
 */
export const badName = (name) => name.length > LONGEST || name.includes('\n') || BAD.test(`\n${name}\n`);

const [LINE_FEED, DOT, SLASH, DELETE] = [0x0a, 0x2e, 0x2f, 0x7f];

/**
 * Write the names of a block into `text`, with line feeds between them. Each byte is looked at here, once, for what `BAD`
 * says: of a hundred thousand names the expression takes longer than all the rest.
 *
 * @param {Uint8Array} section @param {number} at where the block begins @param {number} stop where it ends
 * @param {number} count @param {Uint8Array} text
 * @returns {number} bytes written
 */
function unfold(section, at, stop, count, text) {
  let [last, lastLength, end] = [0, 0, 0];
  const number = () => {
    for (let value = 0, shift = 0; shift < 21; shift += 7) {
      const byte = at < stop ? /** @type {number} */ (section[at++]) : 128;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw damaged('a number among its names does not end');
  };
  for (let row = 0; row < count; row++) {
    const shared = number();
    const added = number();
    if (shared > lastLength || at + added > stop || shared + added > LONGEST) {
      throw damaged('a name refers to what is not there');
    }
    if (row) text[end++] = LINE_FEED;
    const start = end;
    // Byte by byte: names are short, and a call takes longer than twenty bytes.
    for (let from = last; from < last + shared; from++) text[end++] = /** @type {number} */ (text[from]);
    for (const until = at + added; at < until; at++) {
      const byte = /** @type {number} */ (section[at]);
      if (byte < 32 || byte === DELETE || (byte === SLASH && endsInDots(text, start, end))) throw badNameFound();
      text[end++] = byte;
    }
    if (endsInDots(text, start, end)) throw badNameFound();
    [last, lastLength] = [start, end - start];
  }
  if (at !== stop) throw damaged('there is something behind the last name of a block');
  return end;
}

const badNameFound = () => damaged('a name cannot be one of a file in a folder');

/** Whether the part of a path that ends here is "", "." or "..". @param {Uint8Array} text @param {number} start of the path @param {number} end */
function endsInDots(text, start, end) {
  let from = end;
  while (from > start && from > end - 2 && text[from - 1] === DOT) from -= 1;
  return from === start || text[from - 1] === SLASH;
}

/** @param {number} value @returns {number[]} */
const varint = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);

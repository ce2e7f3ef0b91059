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
  /** @type {string[][]} */
  const names = [];
  for (let block = 0; block < blocks; block++) {
    const [from, to] = /** @type {[number, number]} */ ([starts[block], starts[block + 1]]);
    if (to < from) throw damaged('its names lie outside their section');
    const expected = Math.min(BLOCK, count - block * BLOCK);
    const length = unfold(section.subarray(table + from, table + to), expected, text);
    let found;
    try {
      found = decoder.decode(text.subarray(0, length));
    } catch {
      throw damaged('a name is no UTF-8');
    }
    const split = found.split('\n');
    if (split.length !== expected || BAD.test(`\n${found}\n`)) throw damaged('a name cannot be one of a file in a folder');
    names.push(split);
  }
  return names.flat();
}

/** What no name may have, in names with line feeds around them: control characters, and parts that are "", "." or "..". */
const BAD = /[\0-\x09\x0b-\x1f\x7f]|[\n/]\.{0,2}[\n/]/;

/**
 * Names become addresses and names of downloads: nothing that leads out of a folder, nothing that cannot be seen.
 *
 * @param {string} name
 */
export const badName = (name) => name.length > LONGEST || name.includes('\n') || BAD.test(`\n${name}\n`);

/**
 * Write the names of a block into `text`, with line feeds between them.
 *
 * @param {Uint8Array} block @param {number} count @param {Uint8Array} text
 * @returns {number} bytes written
 */
function unfold(block, count, text) {
  let at = 0;
  let [last, lastLength, end] = [0, 0, 0];
  const number = () => {
    for (let value = 0, shift = 0; shift < 21; shift += 7) {
      const byte = block[at++] ?? 128;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw damaged('a number among its names does not end');
  };
  for (let row = 0; row < count; row++) {
    const shared = number();
    const added = number();
    if (shared > lastLength || at + added > block.length || shared + added > LONGEST) {
      throw damaged('a name refers to what is not there');
    }
    const start = row ? end + 1 : 0;
    if (row) text[end] = 10;
    text.copyWithin(start, last, last + shared);
    text.set(block.subarray(at, at + added), start + shared);
    at += added;
    [last, lastLength, end] = [start, shared + added, start + shared + added];
  }
  if (at !== block.length) throw damaged('there is something behind the last name of a block');
  return end;
}

/** @param {number} value @returns {number[]} */
const varint = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);

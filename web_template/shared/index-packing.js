/**
 * @file Packs the sections of an index that stand beside the vectors: builder/album/packing.py has the description.
 */

import { damaged } from './index-layout.js';

/**
 * Pack a section.
 *
 * @param {Uint8Array<ArrayBuffer>} section
 * @param {number} words u32 in each row of it; 0: a section of bytes
 */
export async function pack(section, words) {
  const planes = words ? new Uint8Array(section.length) : section;
  if (words) {
    const numbers = new Uint32Array(section.buffer, section.byteOffset, section.length / 4);
    const rows = numbers.length / words;
    for (let at = 0; at < numbers.length; at++) {
      const step = /** @type {number} */ (numbers[at]) - (at < words ? 0 : /** @type {number} */ (numbers[at - words]));
      const [row, word] = [Math.floor(at / words), at % words];
      for (let byte = 0; byte < 4; byte++) planes[(4 * word + byte) * rows + row] = step >>> (8 * byte);
    }
  }
  const packed = new Blob([planes]).stream().pipeThrough(new CompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

/**
 * Undo `pack`.
 *
 * @param {Uint8Array<ArrayBuffer>} packed
 * @param {number} length of the section; nothing is unpacked beyond it
 * @param {number} words
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 * @throws {import('./index-layout.js').IndexError} when it is not what was packed
 */
export async function unpack(packed, length, words) {
  const planes = await inflate(packed, length);
  if (!words) return planes;
  const rows = length / 4 / words;
  const numbers = new Uint32Array(length / 4);
  for (let word = 0; word < words; word++) {
    const from = 4 * word * rows;
    let value = 0;
    for (let row = 0; row < rows; row++) {
      const byte = (/** @type {number} */ at) => /** @type {number} */ (planes[from + at * rows + row]);
      value = (value + (byte(0) | (byte(1) << 8) | (byte(2) << 16) | (byte(3) << 24))) | 0;
      numbers[row * words + word] = value;
    }
  }
  return new Uint8Array(numbers.buffer);
}

/** @param {Uint8Array<ArrayBuffer>} packed @param {number} length */
async function inflate(packed, length) {
  /** @type {Uint8Array[]} */
  const parts = [];
  let found = 0;
  try {
    const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader();
    for (let part = await reader.read(); part.value && found <= length; part = await reader.read()) {
      parts.push(part.value);
      found += part.value.length;
    }
    if (found > length) await reader.cancel();
  } catch {
    throw damaged('a section cannot be unpacked');
  }
  if (found !== length) throw damaged('a section is not as long as it says');
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

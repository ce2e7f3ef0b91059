/**
 * @file Sections of an index between the file and memory: what is packed, and dates, which are whole numbers there.
 */

/** @import { Packed } from './index-layout.js' */

import { ITEM_BYTES } from './index-layout.js';
import { pack, unpack } from './index-packing.js';

const LATEST_DATE = 8.64e15;
const LOW = 2 ** 32;
/** The high half of a date that is unknown. */
const UNKNOWN = 2 ** 31;

/** Numbers of 32 bits in each row. @param {string} name */
const wordsOf = (name) => (ITEM_BYTES[name] ?? 0) / 4;

/** @param {string} name @param {ArrayBufferView<ArrayBuffer>} data @returns {Promise<Packed>} */
export async function packSection(name, data) {
  // Python writes the lengths of thumbnails when it has written the thumbnails: they lie where they were laid out.
  if (name === 'tlen' || !data.byteLength) return { name, data, plain: 0 };
  return { name, data: await pack(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), wordsOf(name)), plain: data.byteLength };
}

/** @param {string} name @param {Uint8Array<ArrayBuffer>} data @param {number} plain its length, or 0 if it is not packed */
export const unpackSection = async (name, data, plain) => (plain ? unpack(data, plain, wordsOf(name)) : data);

/** What no calendar has is unknown. @param {number} date milliseconds */
export const possibleDate = (date) => (Math.abs(date) <= LATEST_DATE ? date : NaN);

/** @param {Float64Array} dates milliseconds, NaN where unknown */
export function writeDates(dates) {
  const halves = new Uint32Array(2 * dates.length);
  dates.forEach((date, row) => {
    const whole = Math.round(date);
    halves[2 * row] = whole - Math.floor(whole / LOW) * LOW; // NaN becomes 0
    halves[2 * row + 1] = Number.isNaN(date) ? UNKNOWN : Math.floor(whole / LOW);
  });
  return halves;
}

/** @param {Uint32Array} halves low and high */
export const readDates = (halves) =>
  Float64Array.from({ length: halves.length / 2 }, (_, row) => possibleDate((/** @type {number} */ (halves[2 * row + 1]) | 0) * LOW + /** @type {number} */ (halves[2 * row])));

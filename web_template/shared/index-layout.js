/**
 * @file Header and sections of an index file: builder/album/format.py has the description. Nothing of a file is believed
 * before it is checked here.
 */

const MAGIC = [0x89, 0x57, 0x44, 0x49, 0x0d, 0x0a, 0x1a, 0x0a];
const VERSION = 2;
const INT8 = 1;
const ALIGNMENT = 64;
const HEADER = 144;
const ENTRY = 24;
const MOST = { sections: 32, photos: 10_000_000, dimensions: 8192 };
/** No file starts with a longer header than this. */
export const MOST_HEADER_BYTES = HEADER + MOST.sections * ENTRY;
export const NOWHERE = -(2 ** 31);
export const DEGREES = 1e7;
/** Sections of so many bytes for each photo. @type {Readonly<Record<string, number>>} */
export const ITEM_BYTES = { size: 4, modi: 4, date: 8, plac: 8, hash: 8, tlen: 4, scal: 4 };
const REQUIRED = ['name', 'size', 'modi', 'date', 'scal', 'vect'];

/** Why an index cannot be opened. `code`: 'damaged', 'version', 'model' (made with another one) or 'network'. */
export class IndexError extends Error {
  /** @param {'damaged' | 'version' | 'model' | 'network'} code @param {string} message @param {ErrorOptions} [options] */
  constructor(code, message, options) {
    super(message, options);
    this.name = 'IndexError';
    this.code = code;
    this.detail = code; // which goes from a worker to its page
  }
}

/** @param {string} what */
export const damaged = (what) => new IndexError('damaged', `This index is damaged: ${what}.`);

/** Where it lies, and how long it is once it is unpacked: 0 for one that is not packed. @typedef {{ offset: number, length: number, plain: number }} Section */
/**
 * @typedef {object} Layout a checked header: every section lies within the file, and is as long as it must be
 * @property {string} space
 * @property {string} model
 * @property {number} dimensions
 * @property {number} photos
 * @property {number} rotation
 * @property {Map<string, Section>} sections
 */

/**
 * Read and check a header.
 *
 * @param {Uint8Array} start the beginning of the file, as much of it as there is
 * @param {number} fileBytes
 * @returns {Layout}
 * @throws {IndexError}
 */
export function parseHeader(start, fileBytes) {
  if (start.length < HEADER || MAGIC.some((byte, at) => start[at] !== byte)) {
    throw new IndexError('damaged', 'This file is no index of photos.');
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const [version, count, photos, dimensions, kind, rotation] = /** @type {[number, number, number, number, number, number]} */ (
    [8, 12, 16, 20, 24, 28].map((at) => view.getUint32(at, true))
  );
  if (version !== VERSION || kind !== INT8) {
    throw new IndexError('version', `This index has version ${version}, and this page reads version ${VERSION}. Make it again.`);
  }
  const length = Number(view.getBigUint64(128, true));
  if (length !== fileBytes) throw damaged(`it has ${fileBytes} bytes, and its header says ${length}`);
  if (!dimensions || dimensions > MOST.dimensions || photos > MOST.photos || count > MOST.sections) {
    throw damaged(`${photos} photos of ${dimensions} dimensions in ${count} sections`);
  }
  if (rotation < 1 || rotation & (rotation - 1) || dimensions % rotation) throw damaged(`a rotation of ${rotation}`);
  let end = HEADER + count * ENTRY;
  if (start.length < end) throw damaged('its list of sections is cut off');
  /** @type {Map<string, Section>} */
  const sections = new Map();
  for (let at = HEADER; at < HEADER + count * ENTRY; at += ENTRY) {
    const name = String.fromCharCode(...start.subarray(at, at + 4));
    const [offset, bytes] = [Number(view.getBigUint64(at + 8, true)), Number(view.getBigUint64(at + 16, true))];
    if (sections.has(name) || offset % ALIGNMENT || offset < end || offset + bytes > fileBytes) {
      throw damaged(`section “${name}” lies at ${offset} with ${bytes} bytes`);
    }
    sections.set(name, { offset, length: bytes, plain: view.getUint32(at + 4, true) });
    end = offset + bytes;
  }
  const missing = REQUIRED.filter((name) => !sections.has(name));
  if (missing.length || sections.has('tlen') !== sections.has('thum')) {
    throw damaged(`it lacks ${missing.join(', ') || 'half of the thumbnails'}`);
  }
  for (const [name, item] of Object.entries({ ...ITEM_BYTES, vect: dimensions })) {
    const found = sections.get(name);
    const length = found?.plain || found?.length;
    if (found && length !== item * photos) throw damaged(`section “${name}” has ${length} bytes for ${photos} photos`);
  }
  if (sections.get('vect')?.plain || sections.get('thum')?.plain) throw damaged('what is read in parts is packed');
  const model = new TextDecoder().decode(start.subarray(64, 128)).replace(/\0+$/, '');
  const space = [...start.subarray(32, 64)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return { space, model, dimensions, photos, rotation, sections };
}

/** A section as it lies in the file; `plain`: see `Section`. @typedef {{ name: string, data: ArrayBufferView<ArrayBuffer>, plain: number }} Packed */

/**
 * Write sections in the given order, and the thumbnails behind them.
 *
 * @param {{ space: string, model: string, dimensions: number, rotation: number }} facts
 * @param {number} photos
 * @param {Packed[]} sections
 * @param {Blob | null} thumbnails
 */
export function writeFile(facts, photos, sections, thumbnails) {
  const lengths = sections.map(({ name, data, plain }) => ({ name, plain, length: data.byteLength }));
  if (thumbnails) lengths.push({ name: 'thum', plain: 0, length: thumbnails.size });
  const { header, offsets, end } = layOut(facts, photos, lengths);
  let at = header.length;
  /** @type {BlobPart[]} */
  const parts = [header];
  [...sections.map(({ data }) => data), ...(thumbnails ? [thumbnails] : [])].forEach((data, number) => {
    const offset = /** @type {number} */ (offsets[number]);
    parts.push(new Uint8Array(offset - at), data);
    at = offset + (data instanceof Blob ? data.size : data.byteLength);
  });
  const file = new Blob(parts, { type: 'application/octet-stream' });
  if (file.size !== end) throw new Error('The index is not as long as it was laid out.');
  return file;
}

/**
 * Lay out sections of the given lengths in the given order.
 *
 * @param {{ space: string, model: string, dimensions: number, rotation: number }} facts
 * @param {number} photos
 * @param {{ name: string, plain: number, length: number }[]} lengths
 * @returns {{ header: Uint8Array<ArrayBuffer>, offsets: number[], end: number }}
 */
function layOut({ space, model, dimensions, rotation }, photos, lengths) {
  if (!/^[0-9a-f]{64}$/.test(space)) throw new RangeError(`“${space}” is no vector space.`);
  const header = new Uint8Array(HEADER + ENTRY * lengths.length);
  const view = new DataView(header.buffer);
  header.set(MAGIC);
  [VERSION, lengths.length, photos, dimensions, INT8, rotation].forEach((value, at) => view.setUint32(8 + 4 * at, value, true));
  header.set(space.match(/../g)?.map((digits) => parseInt(digits, 16)) ?? [], 32);
  new TextEncoder().encodeInto(model, header.subarray(64, 128)); // no half letter at the end
  let end = header.length;
  const offsets = lengths.map(({ name, plain, length }, number) => {
    const offset = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    const at = HEADER + ENTRY * number;
    header.set([...name].map((letter) => letter.charCodeAt(0)), at);
    view.setUint32(at + 4, plain, true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    view.setBigUint64(at + 16, BigInt(length), true);
    end = offset + length;
    return offset;
  });
  view.setBigUint64(128, BigInt(end), true);
  return { header, offsets, end };
}

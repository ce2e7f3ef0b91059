/**
 * @file Assembles one WebAssembly function from its text, so that what runs can be read: no compiled module lies here.
 *
 * The text is WebAssembly's own, unfolded, one instruction a line, with names for locals and loops (`local.get $row`,
 * `br_if $next`); `;;` begins a comment. Of the instruction set only what stands in OPCODES is known.
 * The numbers are those of https://webassembly.github.io/spec/core/binary/instructions.html.
 */

/** @type {Readonly<Record<string, number[]>>} */
const OPCODES = {
  loop: [0x03, 0x40],
  end: [0x0b],
  br_if: [0x0d],
  'local.get': [0x20],
  'local.set': [0x21],
  'local.tee': [0x22],
  'i32.store': [0x36, 2],
  'i32.const': [0x41],
  'i32.lt_u': [0x49],
  'i32.add': [0x6a],
  'i32.shl': [0x74],
  'v128.load': [0xfd, 0x00, 4],
  'v128.load8x8_s': [0xfd, 0x01, 3],
  'i32x4.splat': [0xfd, 0x11],
  'i32x4.extract_lane': [0xfd, 0x1b],
  'i32x4.add': [0xfd, 0xae, 0x01],
  'i32x4.dot_i16x8_s': [0xfd, 0xba, 0x01],
};
/** Instructions of memory: their last opcode byte above is the alignment, and an `offset=` may follow the name. */
const MEMORY = new Set(['i32.store', 'v128.load', 'v128.load8x8_s']);
const TYPES = { i32: 0x7f, v128: 0x7b };

/**
 * Assemble a module with one function, exported as `run`, on a memory imported as `js.memory`.
 *
 * @param {object} source
 * @param {Record<string, keyof typeof TYPES>} source.params name → type, in order
 * @param {Record<string, keyof typeof TYPES>} source.locals likewise
 * @param {string} source.body the instructions
 * @returns {Uint8Array<ArrayBuffer>}
 * @throws {SyntaxError} at what it does not know
 */
export function assemble({ params, locals, body }) {
  const names = [...Object.keys(params), ...Object.keys(locals)];
  const code = [...vector(Object.values(locals).map((type) => [1, TYPES[type]])), ...instructions(body, names), 0x0b];
  const text = (/** @type {string} */ word) => vector([...word].map((letter) => [letter.charCodeAt(0)]));
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // "\0asm", version 1
    ...section(1, [[0x60, ...vector(Object.values(params).map((type) => [TYPES[type]])), 0]]), // one type, no result
    ...section(2, [[...text('js'), ...text('memory'), 0x02, 0x00, 1]]), // a memory of at least one page
    ...section(3, [[0]]), // one function, of type 0
    ...section(7, [[...text('run'), 0x00, 0]]),
    ...section(10, [[...unsigned(code.length), ...code]]),
  ]);
}

/** @param {string} body @param {string[]} names */
function instructions(body, names) {
  /** @type {string[]} */
  const loops = [];
  return body.split('\n').flatMap((line) => {
    const [name = '', ...operands] = line.replace(/;;.*/, '').trim().split(/\s+/);
    if (!name) return [];
    const opcode = OPCODES[name];
    if (!opcode) throw new SyntaxError(`There is no instruction “${name}”.`);
    const [operand = ''] = operands;
    const local = names.indexOf(operand.slice(1));
    const depth = loops.length - 1 - loops.lastIndexOf(operand);
    if (MEMORY.has(name)) return [...opcode, ...unsigned(Number(operand.replace('offset=', '')))];
    if (name === 'loop') loops.push(operand);
    else if (name === 'end') loops.pop();
    else if (name === 'i32.const') return [...opcode, ...signed(Number(operand))];
    else if (name === 'i32x4.extract_lane') return [...opcode, Number(operand)];
    else if (name.startsWith('local.') && local >= 0) return [...opcode, ...unsigned(local)];
    else if (name === 'br_if' && depth < loops.length) return [...opcode, depth];
    else if (operand) throw new SyntaxError(`“${line.trim()}” names nothing.`);
    return opcode;
  });
}

/** @param {number} id @param {number[][]} items */
const section = (id, items) => {
  const content = vector(items);
  return [id, ...unsigned(content.length), ...content];
};

/** @param {number[][]} items */
const vector = (items) => [...unsigned(items.length), ...items.flat()];

/** LEB128. @param {number} value @returns {number[]} */
const unsigned = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)]);

/** @param {number} value @returns {number[]} */
const signed = (value) => (value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)]);

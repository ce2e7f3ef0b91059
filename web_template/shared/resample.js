/**
 * @file Worker only: Pillow's resampling, bit for bit. Python's processors resize with it, and no canvas does the same.
 *
 * Two passes over bytes, along the rows and then along the columns, rounded in between. When it reduces, the filter is
 * widened so that every pixel counts (“antialias”). The order, the fixed-point weights and the rounding are those of
 * `src/libImaging/Resample.c` in Pillow 12. Start reading at `resample`; what is resized to what is picture.js's say.
 */

/** @typedef {'bilinear' | 'bicubic' | 'lanczos'} Filter Pillow's names */

/**
 * One axis of a resize. `length` pixels of the picture lie from `offset` on in `size` pixels that are black elsewhere;
 * these become `out` pixels, of which `count` from `first` on are wanted.
 *
 * @typedef {{ length: number, offset: number, size: number, out: number, first: number, count: number }} Axis
 */

/**
 * What the wanted pixels are made of. Number `i` is the picture's pixels from `start[i]` to `end[i]`, by the weights
 * from `i * stride` on; all of them together are made of those from `least` to `most`.
 *
 * @typedef {{ start: Int32Array, end: Int32Array, weights: Int32Array, stride: number, least: number, most: number }} Taps
 */

/** Bits behind the point of a weight: 32, less 8 for the byte and 2 for sign and overshoot. */
const PRECISION = 22;
const HALF = 1 << (PRECISION - 1);
/** Pixels read at once: a photo of any size takes 16 MB, and no browser refuses a canvas of this size. */
const STRIP_PIXELS = 1 << 22;

/** @param {number} x */
const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** @type {Record<Filter, [support: number, weight: (x: number) => number]>} */
const FILTERS = {
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, (x) => cubic(Math.abs(x), -0.5)],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

/** @param {number} x @param {number} a */
function cubic(x, a) {
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** @param {Axis} axis @param {Filter} filter @returns {Taps} */
function weigh({ length, offset, size, out, first, count }, filter) {
  const [support, weight] = FILTERS[filter];
  const scale = size / out;
  const wider = Math.max(scale, 1);
  const reach = support * wider;
  const stride = Math.ceil(reach) * 2 + 1;
  const [start, end, weights] = [new Int32Array(count), new Int32Array(count), new Int32Array(count * stride)];
  let [least, most] = [length, 0];
  for (let i = 0; i < count; i++) {
    const centre = (first + i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - reach + 0.5));
    const high = Math.min(size, Math.trunc(centre + reach + 0.5));
    const exact = Array.from({ length: high - low }, (_, x) => weight((x + low - centre + 0.5) * (1 / wider)));
    const sum = exact.reduce((total, share) => total + share, 0) || 1;
    // Black pixels add nothing; that they are left out here does not change the weights of the others.
    const from = (start[i] = Math.max(low - offset, 0));
    const to = (end[i] = Math.max(from, Math.min(high - offset, length)));
    for (let x = from; x < to; x++) {
      const share = (/** @type {number} */ (exact[x + offset - low]) / sum) * (1 << PRECISION);
      weights[i * stride + x - from] = share + (share < 0 ? -0.5 : 0.5); // the array cuts the fraction off
    }
    if (from < to) [least, most] = [Math.min(least, from), Math.max(most, to)];
  }
  return { start, end, weights, stride, least, most };
}

/**
 * @param {Uint8ClampedArray} rgba rows of the picture's columns from `least` to `most`
 * @param {Taps} taps
 * @param {Uint8ClampedArray} rgb gets as many rows of the wanted columns; it clamps
 */
function alongRows(rgba, { start, end, weights, stride, least, most }, rgb) {
  let to = 0;
  for (let row = 0; row < rgba.length; row += (most - least) * 4) {
    for (let x = 0; x < start.length; x++) {
      let k = x * stride;
      let [r, g, b] = [HALF, HALF, HALF];
      const stop = row + (/** @type {number} */ (end[x]) - least) * 4;
      for (let from = row + (/** @type {number} */ (start[x]) - least) * 4; from < stop; from += 4) {
        const w = /** @type {number} */ (weights[k++]);
        r = (r + Math.imul(/** @type {number} */ (rgba[from]), w)) | 0;
        g = (g + Math.imul(/** @type {number} */ (rgba[from + 1]), w)) | 0;
        b = (b + Math.imul(/** @type {number} */ (rgba[from + 2]), w)) | 0;
      }
      rgb[to++] = r >> PRECISION;
      rgb[to++] = g >> PRECISION;
      rgb[to++] = b >> PRECISION;
    }
  }
}

/**
 * @param {Uint8ClampedArray} rows of the picture, resized along the rows, from `least` to `most`
 * @param {number} row_bytes
 * @param {Taps} taps
 */
function alongColumns(rows, row_bytes, { start, end, weights, stride, least }) {
  const rgb = new Uint8ClampedArray(start.length * row_bytes);
  const sums = new Int32Array(row_bytes);
  for (let y = 0; y < start.length; y++) {
    sums.fill(HALF);
    let k = y * stride;
    for (let row = /** @type {number} */ (start[y]); row < /** @type {number} */ (end[y]); row++) {
      const w = /** @type {number} */ (weights[k++]);
      const from = (row - least) * row_bytes;
      for (let x = 0; x < row_bytes; x++) sums[x] = /** @type {number} */ (sums[x]) + Math.imul(/** @type {number} */ (rows[from + x]), w);
    }
    for (let x = 0; x < row_bytes; x++) rgb[y * row_bytes + x] = /** @type {number} */ (sums[x]) >> PRECISION;
  }
  return rgb;
}

/**
 * Resize a picture, or that part of it which is wanted.
 *
 * @param {(left: number, top: number, width: number, height: number) => Uint8ClampedArray} read opaque RGBA pixels
 * @param {Axis} across
 * @param {Axis} down
 * @param {Filter} filter
 * @returns {Uint8ClampedArray} RGB pixels, `across.count` × `down.count`
 */
export function resample(read, across, down, filter) {
  const [columns, rows] = [weigh(across, filter), weigh(down, filter)];
  const width = columns.most - columns.least;
  const row_bytes = across.count * 3;
  const between = new Uint8ClampedArray((rows.most - rows.least) * row_bytes);
  const strip = Math.max(1, Math.floor(STRIP_PIXELS / width));
  for (let top = rows.least; top < rows.most; top += strip) {
    const height = Math.min(strip, rows.most - top);
    alongRows(read(columns.least, top, width, height), columns, between.subarray((top - rows.least) * row_bytes));
  }
  return alongColumns(between, row_bytes, rows);
}

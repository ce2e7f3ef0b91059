/**
 * @file Worker only: from an ImageBitmap to the picture that a model's processor takes, with the pixels of Python.
 *
 * In browsers transformers.js resizes with a plain `drawImage`, whatever resampling the model asks for. So the page
 * resizes, as the manifest says and as Python's processors would, and the processor only normalises. Pixels of an
 * opaque picture are Pillow's to the bit. Where decoding differs, ours is what the visitor sees: upright (Python needs
 * `ImageOps.exif_transpose`), in sRGB whatever the profile, and transparent parts on white (Python drops the alpha).
 */

/** @import { ImageFacts } from './protocol.js' */
/** @import { Axis } from './resample.js' */
/** @typedef {import('@huggingface/transformers').RawImage} RawImage */
/** @typedef {typeof import('@huggingface/transformers').RawImage} RawImageClass */

import { resample } from './resample.js';

/**
 * Read the pixels of a picture at exactly the model's size.
 *
 * @param {ImageBitmap} picture any size, any shape; it stays open
 * @param {ImageFacts} facts of the model's input, as the manifest has them
 * @param {RawImageClass} RawImage
 * @returns {RawImage} with 3 channels
 */
export function readPicture(picture, facts, RawImage) {
  const { width, height } = facts;
  const [across, down] = fitAxes(picture, facts);
  return new RawImage(resample(pixelReader(picture), across, down, facts.resample), width, height, 3);
}

/**
 * A blank picture for the first run, in which shaders are compiled.
 *
 * @param {{ width: number, height: number }} size
 * @param {RawImageClass} RawImage
 */
export const blankPicture = ({ width, height }, RawImage) =>
  new RawImage(new Uint8ClampedArray(width * height * 3).fill(127), width, height, 3);

/**
 * Leave a processor nothing to do but normalise. Most would find their pictures of the right size already; Idefics3's
 * would enlarge them to its longest edge first and, unless it is told not to, cut that into tiles.
 *
 * @param {{ image_processor?: object }} processor
 */
export function keepSize({ image_processor }) {
  if (!image_processor) throw new Error('The processor of this model takes no pictures.');
  Object.assign(image_processor, { do_resize: false, do_thumbnail: false, do_center_crop: false, do_pad: false });
}

/** @param {{ width: number, height: number }} picture @param {ImageFacts} facts @returns {[across: Axis, down: Axis]} */
function fitAxes(picture, { width, height, fit }) {
  if (fit === 'stretch') return [stretch(picture.width, width), stretch(picture.height, height)];
  if (fit === 'letterbox') {
    const size = Math.max(picture.width, picture.height);
    return [letterbox(picture.width, size, width), letterbox(picture.height, size, height)];
  }
  const from = Math.min(picture.width, picture.height);
  const to = Math.max(width, height);
  return [crop(picture.width, from, to, width), crop(picture.height, from, to, height)];
}

/** @param {number} length @param {number} out @returns {Axis} */
const stretch = (length, out) => ({ length, offset: 0, size: length, out, first: 0, count: out });

/** @param {number} length @param {number} size of the square @param {number} out @returns {Axis} */
const letterbox = (length, size, out) => ({ length, offset: (size - length) >> 1, size, out, first: 0, count: out });

/**
 * Resize so that the shorter edge gets from `from` to `to`, and take the middle; both cut fractions off, as
 * Transformers' `get_resize_output_image_size` and `center_crop` do.
 *
 * @param {number} length @param {number} from @param {number} to @param {number} count @returns {Axis}
 */
function crop(length, from, to, count) {
  const out = Math.floor((to * length) / from);
  return { length, offset: 0, size: length, out, first: Math.floor((out - count) / 2), count };
}

/** @param {ImageBitmap} picture @returns {(left: number, top: number, width: number, height: number) => Uint8ClampedArray} */
function pixelReader(picture) {
  const canvas = new OffscreenCanvas(1, 1);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('This browser gives a worker no 2D canvas.');
  return (left, top, width, height) => {
    Object.assign(canvas, { width, height }); // which also clears it
    context.fillStyle = '#fff'; // transparent pixels would otherwise turn black
    context.fillRect(0, 0, width, height);
    context.drawImage(picture, -left, -top);
    return context.getImageData(0, 0, width, height).data;
  };
}

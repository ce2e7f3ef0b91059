/**
 * @file Worker only: from an ImageBitmap to the picture that a model's processor takes.
 */

/** @typedef {import('@huggingface/transformers').RawImage} RawImage */
/** @typedef {typeof import('@huggingface/transformers').RawImage} RawImageClass */

/**
 * Read the pixels of a picture at exactly the model's size, so that the processor has nothing left to resize: in
 * browsers transformers.js resizes with a plain `drawImage`, whatever resampling the model asks for.
 *
 * @param {ImageBitmap} picture any size; its centre is taken. It stays open.
 * @param {{ width: number, height: number }} size of the model's input, pixels
 * @param {RawImageClass} RawImage
 * @returns {RawImage} with 3 channels
 */
export function readPicture(picture, { width, height }, RawImage) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('This browser gives a worker no 2D canvas.');
  context.fillStyle = '#fff'; // transparent pixels would otherwise turn black
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  const scale = Math.min(picture.width / width, picture.height / height);
  const [w, h] = [width * scale, height * scale];
  context.drawImage(picture, (picture.width - w) / 2, (picture.height - h) / 2, w, h, 0, 0, width, height);
  return new RawImage(context.getImageData(0, 0, width, height).data, width, height, 4).rgb();
}

/**
 * A blank picture for the first run, in which shaders are compiled.
 *
 * @param {{ width: number, height: number }} size
 * @param {RawImageClass} RawImage
 */
export const blankPicture = ({ width, height }, RawImage) =>
  new RawImage(new Uint8ClampedArray(width * height * 3).fill(127), width, height, 3);

/**
 * @file Worker only: takes the pixels out of a frame, makes them small, and judges them. All of it costs time that the
 * page's thread has not, the more the larger the frame; the model's worker is at work, or is a server.
 */

/** @import { EyeCalls } from '../../shared/protocol.js' */

import { judgeFrame } from '../../shared/frame-quality.js';
import { LumaReader } from '../../shared/luma.js';
import { serve } from '../../shared/serve.js';

const reader = new LumaReader();

/** The frame as pixels of its own; frames.js says why it is not drawn. @param {VideoFrame} frame @returns {Promise<ImageBitmap>} */
async function copyPixels(frame) {
  const { width = 0, height = 0 } = frame.visibleRect ?? {};
  try {
    const rgba = new Uint8ClampedArray(4 * width * height);
    await frame.copyTo(rgba, { format: 'RGBA' });
    return await createImageBitmap(new ImageData(rgba, width, height));
  } catch (error) {
    if (error instanceof DOMException || error instanceof TypeError) return createImageBitmap(frame); // no copy in this format
    throw error;
  }
}

/** @param {ImageBitmap} picture @param {number} longest @returns {Promise<ImageBitmap>} */
async function shrink(picture, longest) {
  const scale = longest ? longest / Math.max(picture.width, picture.height) : 1;
  const size = { resizeWidth: Math.round(picture.width * scale), resizeHeight: Math.round(picture.height * scale) };
  return scale < 1 ? createImageBitmap(picture, { ...size, resizeQuality: 'high' }) : createImageBitmap(picture);
}

serve(/** @type {{ [T in keyof EyeCalls]: import('../../shared/serve.js').Handler<EyeCalls[T]> }} */ ({
  load: async () => ({ load_ms: 0 }),

  async look({ frame, fit, longest }) {
    const picture = frame instanceof ImageBitmap ? frame : await copyPixels(frame);
    frame instanceof ImageBitmap || frame.close();
    try {
      const { fine, coarse } = reader.read(picture, fit);
      return { coarse, fault: judgeFrame(fine), picture: longest === null ? null : await shrink(picture, longest) };
    } finally {
      picture.close();
    }
  },
}));

/**
 * @file The frame that a video shows, as pixels of its own.
 *
 * Drawing a video keeps a decoded copy of every frame drawn in Chromium's cache of pictures, up to 512 MB of frames
 * that no one asks for again. Copying the pixels out of a VideoFrame goes round that cache.
 */

/**
 * Copy the newest frame of a video.
 *
 * @param {HTMLVideoElement} video
 * @returns {Promise<ImageBitmap | null>} the whole frame, to be closed; null where this browser cannot copy it as it is
 *   shown (turned, mirrored, its pixels not square): then the video itself is to be drawn
 */
export async function copyFrame(video) {
  const frame = openFrame(video);
  if (!frame) return null;
  try {
    const { width, height } = frame.visibleRect ?? { width: 0, height: 0 };
    if (!isUpright(frame) || width !== video.videoWidth || height !== video.videoHeight) return null;
    const rgba = new Uint8ClampedArray(4 * width * height);
    await frame.copyTo(rgba, { format: 'RGBA' });
    return await createImageBitmap(new ImageData(rgba, width, height));
  } catch (error) {
    if (error instanceof DOMException || error instanceof TypeError) return null; // no copy in this format, or it is gone
    throw error;
  } finally {
    frame.close();
  }
}

/** @param {HTMLVideoElement} video */
function openFrame(video) {
  if (!('VideoFrame' in globalThis)) return null;
  try {
    return new VideoFrame(video);
  } catch (error) {
    if (error instanceof DOMException) return null; // it seeks, and has no frame now
    throw error;
  }
}

/**
 * Whether the frame says that it is stored the way it is shown. Browsers that do not say are not trusted.
 *
 * @param {VideoFrame & { rotation?: number, flip?: boolean }} frame
 */
const isUpright = ({ rotation, flip }) => rotation === 0 && flip === false;

/**
 * @file The frame that a video shows, without a copy: to be handed to eyes.js, which takes the pixels out of it.
 *
 * Drawing a video keeps a decoded copy of every frame drawn in Chromium's cache of pictures, up to 512 MB of frames
 * that no one asks for again. Copying the pixels out of a VideoFrame goes round that cache.
 */

/**
 * Open the newest frame of a video.
 *
 * @param {HTMLVideoElement} video
 * @returns {VideoFrame | null} to be transferred or closed; null where it is not stored as it is shown (turned, mirrored,
 *   its pixels not square) or the browser knows no such thing: then the video itself is to be drawn
 */
export function openFrame(video) {
  if (!('VideoFrame' in globalThis)) return null;
  try {
    const frame = new VideoFrame(video);
    const { width, height } = frame.visibleRect ?? { width: 0, height: 0 };
    if (isUpright(frame) && width === video.videoWidth && height === video.videoHeight) return frame;
    frame.close();
    return null;
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

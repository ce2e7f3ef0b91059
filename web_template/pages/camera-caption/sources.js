/**
 * @file Where the pictures come from: the camera, the sample video, or a video on this site. Hands out the newest
 * frame, never a queue of them.
 */

/** @import { Manifest } from '../../shared/protocol.js' */

import { PageError } from '../../shared/state.js';

/** How long to wait for a fresh frame before the one that is there is taken again (a video that stands still). */
const FRESH_FRAME_MS = 250;

/**
 * What to say about each way in which a camera refuses, by the name of getUserMedia's error.
 *
 * @type {Record<string, { what: string, todo: string }>}
 */
const CAMERA_WORDS = {
  NotAllowedError: {
    what: 'This page may not use the camera.',
    todo: 'Allow the camera for this site in the browser’s address bar or settings, then try again.',
  },
  NotFoundError: { what: 'No camera was found.', todo: 'Connect a camera and try again, or use another source.' },
  NotReadableError: {
    what: 'The camera is there but gives no picture; another program may be using it.',
    todo: 'Close other programs that use the camera, then try again.',
  },
};

export class Source {
  #video;
  /** @type {MediaStream | null} */
  #stream = null;
  #onLost;

  /**
   * @param {HTMLVideoElement} video shows exactly what is captured: its box is square and covers, so does the crop
   * @param {(error: PageError) => void} onLost the camera or the video broke off
   */
  constructor(video, onLost) {
    this.#video = video;
    this.#onLost = onLost;
    video.addEventListener('error', () => {
      if (!video.getAttribute('src')) return;
      onLost(new PageError({
        title: 'The video does not play',
        what: `${video.currentSrc.split('/').pop()} could not be read (${video.error?.message || 'unknown format'}).`,
        todo: 'Try again, or use another source.',
      }));
    });
  }

  /** Show the first picture of a video without playing it. @param {string} url */
  preview(url) {
    this.close();
    this.#video.src = url;
  }

  /**
   * Start a source; its first frame is there when this returns.
   *
   * @param {{ kind: 'camera', device_id: string | null } | { kind: 'video', url: string }} wanted
   * @throws {PageError} in words for the visitor
   */
  async open(wanted) {
    if (wanted.kind === 'camera') {
      const [track] = this.#stream?.getVideoTracks() ?? [];
      const same = track?.readyState === 'live' && (!wanted.device_id || track.getSettings().deviceId === wanted.device_id);
      if (same) return this.play();
      this.close();
      this.#stream = await openCamera(wanted.device_id);
      this.#stream.getVideoTracks()[0]?.addEventListener('ended', () => this.#onLost(new PageError({
        title: 'The camera stopped',
        what: 'The camera was unplugged, or another program took it.',
        todo: 'Connect it again and try again, or use another source.',
      })));
      this.#video.srcObject = this.#stream;
    } else if (this.#video.src !== wanted.url) {
      this.close();
      this.#video.src = wanted.url;
    }
    await this.play();
  }

  /** Go on after a pause. */
  async play() {
    try {
      await this.#video.play();
    } catch (error) {
      if (this.#video.error) return; // the error event says it better
      if (error instanceof DOMException && error.name === 'AbortError') return; // another source was chosen meanwhile
      throw new PageError({ title: 'The video does not play', what: String(error), todo: 'Try again, or use another source.' }, error);
    }
  }

  pause() {
    this.#video.pause();
  }

  /** Let the camera go and show nothing. */
  close() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.#video.srcObject = null;
    this.#video.removeAttribute('src');
  }

  /**
   * Take the newest frame: its centre square, in one step at the size that the model takes.
   *
   * @param {Manifest['image']} size
   * @returns {Promise<ImageBitmap>}
   */
  async grab({ width, height }) {
    await this.#freshFrame();
    const video = this.#video;
    const scale = Math.min(video.videoWidth / width, video.videoHeight / height);
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    const [x, y] = [(video.videoWidth - w) >> 1, (video.videoHeight - h) >> 1];
    return createImageBitmap(video, x, y, w, h, { resizeWidth: width, resizeHeight: height, resizeQuality: 'high' });
  }

  async #freshFrame() {
    const video = this.#video;
    if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) {
      await new Promise((resolve) => video.addEventListener('loadeddata', resolve, { once: true }));
    }
    if (!('requestVideoFrameCallback' in video)) return;
    await new Promise((resolve) => {
      const handle = video.requestVideoFrameCallback(resolve);
      setTimeout(() => {
        video.cancelVideoFrameCallback(handle);
        resolve(null);
      }, FRESH_FRAME_MS);
    });
  }
}

/** @param {string | null} device_id @returns {Promise<MediaStream>} */
async function openCamera(device_id) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new PageError({
      title: 'The camera cannot be used here',
      what: window.isSecureContext
        ? 'This browser offers no camera to pages.'
        : 'Browsers give the camera only to pages on https or localhost.',
      todo: 'Open the page over https, or use another source.',
    });
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: {
        width: { ideal: 640 },
        height: { ideal: 480 },
        ...(device_id ? { deviceId: { exact: device_id } } : { facingMode: { ideal: 'environment' } }),
      },
    });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : '';
    const other = { what: `The camera refused (${String(error)}).`, todo: 'Try again, or use another source.' };
    const words = CAMERA_WORDS[name] ?? other;
    throw new PageError({ title: 'The camera cannot be used', ...words }, error);
  }
}

/** The cameras to choose from; browsers name them only after one was allowed. @returns {Promise<MediaDeviceInfo[]>} */
export async function listCameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices.filter(({ kind, deviceId }) => kind === 'videoinput' && deviceId);
}

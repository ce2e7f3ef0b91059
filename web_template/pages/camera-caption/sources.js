/**
 * @file Where the pictures come from: the camera, the sample video, or a video on this site. Hands out the newest
 * frame, never a queue of them.
 */

import { PageError } from '../../shared/state.js';

/** How long to wait for a fresh frame before the one that is there is taken again (a video that stands still). */
const FRESH_FRAME_MS = 250;
/** How long a video may be without any picture (it seeks, or its data is late) before it counts as broken off. */
const PICTURE_WITHIN_MS = 10_000;

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
  #onLost;
  /** @type {MediaStream | null} */
  #stream = null;
  /** Every `open`, `pause` and `close` counts up; an opening that is no longer the newest lets go of what it got. */
  #newest = 0;
  /** From the end of `open` to `pause` or `close`. What fails before is for `open` to tell, after it for the next one. */
  #isOpen = false;

  /**
   * @param {HTMLVideoElement} video shows exactly what is captured: its box is square and covers, so does the crop
   * @param {(error: PageError) => void} onLost the camera or the video broke off
   */
  constructor(video, onLost) {
    this.#video = video;
    this.#onLost = onLost;
    video.addEventListener('error', () => {
      if (this.#isOpen && video.error) onLost(unplayable(video));
    });
  }

  /** The camera in use; empty when there is none. */
  get device_id() {
    return this.#stream?.getVideoTracks()[0]?.getSettings().deviceId ?? '';
  }

  /** Show the first picture of a video without playing it. @param {string} url */
  preview(url) {
    this.close();
    this.#video.src = url;
  }

  /**
   * Start a source; it plays when this returns.
   *
   * @param {{ kind: 'camera', device_id: string | null } | { kind: 'video', url: string }} wanted
   * @throws {PageError} in words for the visitor
   * @throws {DOMException} AbortError: `open`, `pause` or `close` was called meanwhile
   */
  async open(wanted) {
    const video = this.#video;
    this.pause();
    // What stays: the last picture of a camera until there is a new one, and a video that goes on where it was.
    const stays = wanted.kind === 'camera' ? video.srcObject : video.src === wanted.url && !video.error;
    if (!stays) this.close();
    const mine = ++this.#newest;
    if (wanted.kind === 'camera') {
      const stream = await openCamera(wanted.device_id);
      if (mine !== this.#newest) {
        stopTracks(stream); // allowed after the visitor had chosen something else
        throw stale();
      }
      this.#stream = stream;
      stream.getVideoTracks()[0]?.addEventListener('ended', () => this.#stream === stream && this.#onLost(new PageError({
        title: 'The camera stopped',
        what: 'The camera was unplugged, or another program took it.',
        todo: 'Connect it again and try again, or use another source.',
      })));
      video.srcObject = stream;
    } else if (!stays) {
      video.src = wanted.url;
    }
    await this.#play(mine);
    this.#isOpen = true;
  }

  /** @param {number} mine number of the opening */
  async #play(mine) {
    const video = this.#video;
    try {
      await video.play();
    } catch (error) {
      if (mine !== this.#newest) throw stale();
      if (video.error) throw unplayable(video);
      // Browsers pause a video in a hidden page, and go on by themselves.
      if (error instanceof DOMException && error.name === 'AbortError') return;
      throw new PageError({ title: 'The video does not play', what: String(error), todo: 'Try again, or use another source.' }, error);
    }
    if (mine !== this.#newest) throw stale();
  }

  /** Stand still on the last picture. The camera is off: paused means that nothing is recorded. */
  pause() {
    this.#newest += 1;
    this.#isOpen = false;
    this.#video.pause();
    if (this.#stream) stopTracks(this.#stream);
    this.#stream = null;
  }

  /** Let the camera go and show nothing. */
  close() {
    this.pause();
    this.#video.srcObject = null;
    this.#video.removeAttribute('src');
  }

  /**
   * Take the newest frame, whole: which part of it the model takes, and how it is resized, is picture.js's to say.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<ImageBitmap>}
   * @throws {PageError} no picture comes any more
   */
  async grab(signal) {
    await this.#untilPicture(signal);
    await this.#freshFrame();
    return createImageBitmap(this.#video);
  }

  /** A seek (each turn of `loop` is one) or an underrun takes the picture away for a while. @param {AbortSignal} signal */
  async #untilPicture(signal) {
    const video = this.#video;
    const latest_ms = performance.now() + PICTURE_WITHIN_MS;
    while (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) {
      const left_ms = latest_ms - performance.now();
      if (left_ms <= 0) {
        throw new PageError({
          title: 'There is no picture',
          what: `No picture has come for ${PICTURE_WITHIN_MS / 1000} seconds.`,
          todo: 'Try again, or use another source.',
        });
      }
      await newsOf(video, signal, left_ms);
      signal.throwIfAborted();
    }
  }

  async #freshFrame() {
    const video = this.#video;
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

/** @param {MediaStream} stream */
const stopTracks = (stream) => stream.getTracks().forEach((track) => track.stop());

const stale = () => new DOMException('Something else was chosen meanwhile.', 'AbortError');

/** @param {HTMLVideoElement} video with an error */
const unplayable = (video) => new PageError({
  title: 'The video does not play',
  what: `${video.currentSrc.split('/').pop() || 'The video'} could not be read (${video.error?.message || 'unknown format'}).`,
  todo: 'Try again, or use another source.',
}, video.error);

/**
 * Wait until the video may have a picture again, the signal is aborted, or the time is over.
 *
 * @param {HTMLVideoElement} video
 * @param {AbortSignal} signal
 * @param {number} limit_ms
 */
async function newsOf(video, signal, limit_ms) {
  const over = new AbortController();
  const once = { once: true, signal: over.signal };
  await new Promise((resolve) => {
    for (const event of ['loadeddata', 'canplay', 'seeked']) video.addEventListener(event, resolve, once);
    signal.addEventListener('abort', resolve, once);
    const timer = setTimeout(resolve, limit_ms);
    over.signal.addEventListener('abort', () => clearTimeout(timer));
    if (signal.aborted) resolve(null);
  });
  over.abort();
}

/**
 * @param {string | null} device_id null, or a camera that is no longer there: the browser's own choice
 * @returns {Promise<MediaStream>}
 * @throws {PageError} in words for the visitor
 */
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
    // OverconstrainedError is a DOMException in some browsers only.
    const name = /** @type {{ name?: string } | null} */ (error)?.name ?? '';
    if (device_id && (name === 'OverconstrainedError' || name === 'NotFoundError')) return openCamera(null);
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

/**
 * @file Where the pictures come from: a camera, a shared screen, a video, a picture. Hands out the newest frame, never a
 * queue of them.
 */

/** @import { EyeCalls, ImageFacts, Look } from '../../shared/protocol.js' */
/** @import { Facing } from './camera.js' */

import { Bridge } from '../../shared/bridge.js';
import { later } from '../../shared/language.js';
import { PageError } from '../../shared/state.js';
import { openFrame } from './frames.js';

/**
 * A camera, a screen, a video by its address (of this site, or blob: of a file), or a picture that is already decoded.
 *
 * @typedef {{ kind: 'camera', device_id: string, facing: Facing, longest: number } | { kind: 'screen' }
 *   | { kind: 'video', url: string } | { kind: 'picture', bitmap: ImageBitmap }} Wanted
 */

/** How long to wait for a fresh frame before the one that is there is taken again (a video that stands still). */
const FRESH_FRAME_MS = 250;
/** How long a video may be without any picture (it seeks, or its data is late) before it counts as broken off. */
const PICTURE_WITHIN_MS = 10_000;
/** Longer edge of what is looked at of a picture, and where a browser has to draw a video for it. */
const SMALL = 256;

export class Source {
  #video;
  #still;
  /** The camera or the video broke off. @type {(error: PageError) => void} */
  onLost = () => {};
  /** The camera gives no picture for a while, or gives one again. @type {(muted: boolean) => void} */
  onMuted = () => {};
  /** What the model sees of a picture. @type {ImageFacts['fit']} */
  #fit = 'crop';
  /** @type {Bridge<EyeCalls> | null} */
  #eyes = null;
  /** A small copy of the picture, to be looked at. @type {ImageBitmap | null} */
  #small = null;
  /** @type {MediaStream | null} */
  #stream = null;
  /** The picture where the source is one. @type {ImageBitmap | null} */
  #bitmap = null;
  /** Every `open`, `pause` and `close` counts up; an opening that is no longer the newest lets go of what it got. */
  #newest = 0;
  /** From the end of `open` to `pause` or `close`. What fails before is for `open` to tell, after it for the next one. */
  #isOpen = false;
  /** @type {Wanted['kind'] | ''} */
  kind = '';

  /**
   * @param {HTMLVideoElement} video shows exactly what is captured
   * @param {HTMLCanvasElement} still lies over the video and shows pictures that do not move
   */
  constructor(video, still) {
    this.#video = video;
    this.#still = still;
    video.addEventListener('error', () => {
      if (this.#isOpen && video.error) this.onLost(unplayable(video));
    });
    video.addEventListener('resize', () => this.#shape(video.videoWidth, video.videoHeight));
  }

  /** Show what the model will see: the middle square, or the whole picture. @param {ImageFacts['fit']} fit */
  set fit(fit) {
    this.#fit = fit;
    document.documentElement.dataset.fit = fit;
    this.#shape(this.#video.videoWidth, this.#video.videoHeight);
  }

  /** @param {number} width @param {number} height of what is shown */
  #shape(width, height) {
    const stage = this.#video.parentElement;
    if (stage && width && height) stage.style.aspectRatio = this.#fit === 'crop' ? '' : String(Math.max(1, width / height));
  }

  /** The track in use, of a camera or a screen. */
  get track() {
    return this.#stream?.getVideoTracks()[0];
  }

  /** The camera in use; empty when there is none. */
  get device_id() {
    return this.kind === 'camera' ? (this.track?.getSettings().deviceId ?? '') : '';
  }

  /** Show the first picture of a video without playing it. @param {string} url */
  preview(url) {
    this.close();
    this.#video.src = url;
  }

  /** Put a picture over the video; `null` takes it away. @param {ImageBitmap | null} bitmap */
  cover(bitmap) {
    const shown = bitmap ?? this.#bitmap;
    this.#still.hidden = shown === null;
    if (!shown) return;
    Object.assign(this.#still, { width: shown.width, height: shown.height });
    this.#shape(shown.width, shown.height);
    this.#still.getContext('2d')?.drawImage(shown, 0, 0);
  }

  /**
   * Start a source; it plays when this returns.
   *
   * @param {Wanted} wanted
   * @throws {PageError} in words for the visitor
   * @throws {DOMException} AbortError: `open`, `pause` or `close` was called meanwhile
   */
  async open(wanted) {
    const video = this.#video;
    this.pause();
    // What stays: the last picture of a camera until there is a new one, a video that goes on where it was, and a
    // screen, which the visitor would have to choose once more.
    const stays = wanted.kind === this.kind
      && (wanted.kind === 'camera' || (wanted.kind === 'screen' && this.#live()) || (wanted.kind === 'video' && video.src === wanted.url && !video.error));
    if (!stays) this.close();
    const mine = ++this.#newest;
    if (wanted.kind === 'picture') {
      const { width, height } = wanted.bitmap;
      const small = await createImageBitmap(wanted.bitmap, smaller(width, height, SMALL));
      if (mine !== this.#newest) throw stale();
      this.kind = 'picture';
      this.#bitmap = wanted.bitmap;
      this.#small = small;
      this.cover(null);
      this.#isOpen = true;
      return;
    }
    if (wanted.kind === 'camera' || (wanted.kind === 'screen' && !stays)) {
      const { openCamera, openScreen } = await import('./camera.js');
      const stream = await (wanted.kind === 'camera' ? openCamera(wanted) : openScreen());
      if (mine !== this.#newest) {
        stopTracks(stream); // allowed after the visitor had chosen something else
        throw stale();
      }
      this.#hold(stream, wanted.kind);
    } else if (wanted.kind === 'screen') {
      if (this.track) this.track.enabled = true;
    } else if (!stays) {
      video.src = wanted.url;
    }
    this.kind = wanted.kind;
    await this.#play(mine);
    this.#isOpen = true;
  }

  /** @param {MediaStream} stream @param {'camera' | 'screen'} kind */
  #hold(stream, kind) {
    this.#stream = stream;
    this.#video.srcObject = stream;
    const words = kind === 'camera'
      ? {
          title: later('The camera stopped'),
          what: later('The camera was unplugged, or another program took it.'),
          todo: later('Connect it again and try again, or use another source.'),
        }
      : {
          title: later('Sharing has ended'),
          what: later('The window was closed, or sharing was stopped.'),
          todo: later('Share it again, or use another source.'),
        };
    const [track] = stream.getVideoTracks();
    track?.addEventListener('ended', () => {
      if (this.#stream !== stream) return;
      this.close();
      this.onLost(new PageError(words));
    });
    for (const event of ['mute', 'unmute']) track?.addEventListener(event, () => this.#stream === stream && this.onMuted(event === 'mute'));
  }

  #live() {
    return this.track?.readyState === 'live';
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
      throw new PageError({ title: later('The video does not play'), what: String(error), todo: later('Try again, or use another source.') }, error);
    }
    if (mine !== this.#newest) throw stale();
  }

  /** Stand still on the last picture. The camera is off: paused means that nothing is recorded. */
  pause() {
    this.#newest += 1;
    this.#isOpen = false;
    this.#video.pause();
    if (this.kind === 'screen') {
      if (this.track) this.track.enabled = false;
    } else {
      if (this.#stream) stopTracks(this.#stream);
      this.#stream = null;
    }
  }

  /** Let a picture go that is not wanted any more, unless it is what is shown. @param {ImageBitmap} bitmap */
  release(bitmap) {
    if (bitmap === this.#bitmap) this.close();
    bitmap.close();
  }

  /** Let the camera or the screen go and show nothing. */
  close() {
    this.pause();
    if (this.#stream) stopTracks(this.#stream);
    this.#stream = null;
    this.#small?.close();
    this.#bitmap = this.#small = null;
    this.kind = '';
    this.#video.srcObject = null;
    this.#video.removeAttribute('src');
    this.cover(null);
  }

  get #hasPicture() {
    return this.#bitmap !== null || this.#video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
  }

  /**
   * Look at what is to be seen now, without taking it.
   *
   * @returns {Promise<Look | null>} null while there is no picture
   */
  async look() {
    const frame = this.#hasPicture ? (this.#small ?? (await this.#frame(SMALL))) : null;
    return frame && this.#see(frame, null);
  }

  /**
   * Take the newest frame, whole: which part of it the model takes is picture.js's to say.
   *
   * @param {AbortSignal} signal
   * @param {number} longest how many pixels its longer edge may have; 0: as many as there are
   * @returns {Promise<Look & { picture: ImageBitmap }>} to be transferred or closed
   * @throws {PageError} no picture comes any more
   */
  async grab(signal, longest) {
    await this.#untilPicture(signal);
    if (!this.#bitmap) await this.#freshFrame();
    const seen = await this.#see(this.#bitmap ?? (await this.#frame(longest)), longest);
    return /** @type {Look & { picture: ImageBitmap }} */ (seen);
  }

  /** What the video shows, to be handed over. @param {number} longest where it has to be drawn @returns {Promise<VideoFrame | ImageBitmap>} */
  async #frame(longest) {
    const video = this.#video;
    return openFrame(video) ?? createImageBitmap(video, smaller(video.videoWidth, video.videoHeight, longest));
  }

  /** @param {VideoFrame | ImageBitmap} frame @param {number | null} longest @returns {Promise<Look>} */
  async #see(frame, longest) {
    const stays = frame === this.#bitmap || frame === this.#small;
    this.#eyes ??= new Bridge(new URL('./eyes.js', import.meta.url));
    try {
      return await this.#eyes.request('look', { frame, fit: this.#fit, longest }, { transfer: stays ? [] : [frame] });
    } catch (error) {
      this.#eyes?.terminate();
      this.#eyes = null; // the next look has new ones
      throw error;
    }
  }

  /** A seek (each turn of `loop` is one) or an underrun takes the picture away for a while. @param {AbortSignal} signal */
  async #untilPicture(signal) {
    const video = this.#video;
    const latest_ms = performance.now() + PICTURE_WITHIN_MS;
    while (!this.#hasPicture) {
      const left_ms = latest_ms - performance.now();
      if (left_ms <= 0) {
        throw new PageError({
          title: later('There is no picture'),
          what: later('No picture has come for {seconds} seconds.', { seconds: PICTURE_WITHIN_MS / 1000 }),
          todo: later('Try again, or use another source.'),
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

/** @param {number} width @param {number} height @param {number} longest 0: as it is @returns {ImageBitmapOptions} */
function smaller(width, height, longest) {
  const scale = longest / Math.max(width, height);
  return longest && scale < 1 ? { resizeWidth: Math.round(width * scale), resizeHeight: Math.round(height * scale), resizeQuality: 'high' } : {};
}

/** @param {MediaStream} stream */
const stopTracks = (stream) => stream.getTracks().forEach((track) => track.stop());

const stale = () => new DOMException('Something else was chosen meanwhile.', 'AbortError');

/** @param {HTMLVideoElement} video with an error */
const unplayable = (video) => new PageError({
  title: later('The video does not play'),
  what: later('{name} could not be read ({error}).', {
    name: video.currentSrc.startsWith('blob:') ? later('The file') : video.currentSrc.split('/').pop() || later('The video'),
    error: video.error?.message || later('unknown format'),
  }),
  todo: later('Try again, or use another source.'),
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

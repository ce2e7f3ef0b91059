/**
 * @file Streams of the visitor's camera or screen, and in words what to do about each way in which they are refused.
 */

/** @import { Text } from '../../shared/protocol.js' */

import { later } from '../../shared/language.js';
import { PageError } from '../../shared/state.js';
import { canShareScreen, framePasses } from './capture.js';

/** Pictures larger than that say no more to any model here. */
const LARGEST = 1920;

/** @typedef {'' | 'environment' | 'user'} Facing which way a phone's camera looks; empty on most computers */

/**
 * @param {Text} what @param {Text} todo
 * @param {unknown} [cause]
 */
const refusal = (what, todo, cause) => new PageError({ title: later('The camera cannot be used'), what, todo }, cause);

/** Why there can be no camera, before anything is asked; null when it can be. */
function refusedBeforehand() {
  if (!window.isSecureContext) {
    return refusal(
      later('Browsers give the camera only to pages on https or localhost, and this page is on {origin}.', { origin: location.origin }),
      later('Open the page over https, or use another source.'),
    );
  }
  if (!navigator.mediaDevices?.getUserMedia) {
    return refusal(later('This browser offers no camera to pages.'), later('Open the page in another browser, or use another source.'));
  }
  if (framePasses('camera') === false) return framed();
  return null;
}

/** @param {unknown} [cause] */
const framed = (cause) => refusal(
  later('This page is shown inside another page, which does not pass the camera on.'),
  later('Open this page in a tab of its own, or use another source.'),
  cause,
);

/** @param {unknown} error what getUserMedia threw */
function refused(error) {
  // OverconstrainedError is a DOMException in some browsers only.
  const { name = '', message = '', constraint = '' } = /** @type {{ name?: string, message?: string, constraint?: string }} */ (error ?? {});
  if (name === 'NotAllowedError' && /system/i.test(message)) {
    return refusal(
      later('The system does not let this browser use the camera.'),
      later('Allow the camera for the browser in the privacy settings of the system, then try again.'),
      error,
    );
  }
  if (name === 'NotAllowedError' && framePasses('camera') !== true) return framed(error);
  if (name === 'NotAllowedError' || name === 'SecurityError') {
    return refusal(
      later('This page may not use the camera.'),
      later('Allow the camera for this site in the browser’s address bar or settings, then try again.'),
      error,
    );
  }
  if (name === 'NotFoundError') {
    return refusal(later('No camera was found.'), later('Connect a camera and try again, or use another source.'), error);
  }
  if (name === 'NotReadableError' || name === 'AbortError') {
    return refusal(
      later('The camera is there but gives no picture; another program may be using it.'),
      later('Close other programs that use the camera, then try again.'),
      error,
    );
  }
  if (name === 'OverconstrainedError') {
    return refusal(
      later('The camera cannot give such pictures ({constraint}).', { constraint }),
      later('Choose another frame size in the settings, or another camera.'),
      error,
    );
  }
  return refusal(later('The camera refused ({error}).', { error: String(error) }), later('Try again, or use another source.'), error);
}

/**
 * Open a camera.
 *
 * @param {{ device_id: string, facing: Facing, longest: number }} wanted `device_id` is empty for the browser's choice, and
 *   may be of a camera that is no longer there; `longest` is how many pixels wide its pictures should be; 0: many
 * @returns {Promise<MediaStream>}
 * @throws {PageError} in words for the visitor
 */
export async function openCamera({ device_id, facing, longest }) {
  const impossible = refusedBeforehand();
  if (impossible) throw impossible;
  const wide = longest || LARGEST;
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: {
        width: { ideal: wide },
        height: { ideal: (wide * 3) / 4 },
        ...(device_id ? { deviceId: { exact: device_id } } : { facingMode: { ideal: facing || 'environment' } }),
      },
    });
  } catch (error) {
    const name = /** @type {{ name?: string } | null} */ (error)?.name ?? '';
    if (device_id && (name === 'OverconstrainedError' || name === 'NotFoundError')) return openCamera({ device_id: '', facing, longest });
    throw refused(error);
  }
}

/**
 * Let the visitor choose a window or a screen. To be called right after a click: browsers ask for one.
 *
 * @returns {Promise<MediaStream>}
 * @throws {PageError} in words for the visitor
 */
export async function openScreen() {
  const words = { title: later('Nothing is shared'), todo: later('Try again and choose a window, or use another source.') };
  if (!canShareScreen()) throw new PageError({ ...words, what: later('This browser does not let this page see a screen.') });
  const video = { frameRate: { ideal: 10 }, width: { max: LARGEST }, height: { max: LARGEST } }; // a screen may have many times as many
  try {
    return await navigator.mediaDevices.getDisplayMedia({ video, audio: false });
  } catch (error) {
    const { name = '' } = /** @type {{ name?: string }} */ (error ?? {});
    if (name === 'NotAllowedError') throw new PageError({ ...words, what: later('No window or screen was chosen, or the browser forbids it.') }, error);
    if (name === 'InvalidStateError') throw new PageError({ ...words, what: later('The browser wants a click before it shares a screen.') }, error);
    throw new PageError({ ...words, what: String(error) }, error);
  }
}

/** The cameras to choose from; browsers name them only after one was allowed. @returns {Promise<MediaDeviceInfo[]>} */
export async function listCameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices.filter(({ kind, deviceId }) => kind === 'videoinput' && deviceId);
}

/** Whether this camera has a lamp that pages may switch. @param {MediaStreamTrack | undefined} track */
export const hasTorch = (track) => Boolean(/** @type {any} */ (track?.getCapabilities?.())?.torch);

/** @param {MediaStreamTrack} track @param {boolean} on */
export async function setTorch(track, on) {
  await track.applyConstraints({ advanced: [/** @type {any} */ ({ torch: on })] });
}

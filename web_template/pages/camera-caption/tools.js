/**
 * @file The controls of the source in use: which camera and which way it looks, its lamp, the position in a video.
 */

/** @import { Settings } from './settings.js' */
/** @import { Source } from './sources.js' */

import { later, t } from '../../shared/language.js';
import { byRole, keepFocus, say } from '../../shared/state.js';
import { hasTorch, listCameras, setTorch } from './camera.js';

export class SourceTools {
  #source;
  #settings;
  #onChosen;
  #camera = byRole('camera', HTMLSelectElement);
  #flip = byRole('flip', HTMLButtonElement);
  #torch = byRole('torch', HTMLButtonElement);
  #seek = byRole('seek', HTMLInputElement);
  #video = byRole('video', HTMLVideoElement);

  /** @param {Source} source @param {Settings} settings @param {() => void} onChosen another camera was chosen */
  constructor(source, settings, onChosen) {
    this.#source = source;
    this.#settings = settings;
    this.#onChosen = onChosen;
    this.#camera.onchange = () => {
      settings.keepOwn('camera', this.#camera.value);
      onChosen();
    };
    this.#flip.onclick = () => this.#turnAround();
    this.#torch.onclick = () => void this.#switchTorch();
    this.#seek.oninput = () => {
      this.#video.currentTime = this.#seek.valueAsNumber;
      this.#sayPosition();
    };
    for (const event of ['timeupdate', 'durationchange', 'emptied']) this.#video.addEventListener(event, () => this.#showPosition());
    navigator.mediaDevices?.addEventListener?.('devicechange', () => void this.#listCameras());
  }

  /** The source is open: show its controls. They stay where they are while one camera takes the place of another. */
  async opened() {
    this.#showPosition();
    await this.#listCameras();
    const { kind, track } = this.#source;
    this.#torch.ariaPressed = 'false';
    keepFocus(() => {
      this.#torch.hidden = kind !== 'camera' || !hasTorch(track);
    });
  }

  /** The camera is off, and so is its lamp. */
  closed() {
    keepFocus(() => {
      this.#torch.hidden = true;
    });
  }

  async #listCameras() {
    const { kind, device_id } = this.#source;
    const cameras = kind === 'camera' ? await listCameras() : [];
    if (kind !== this.#source.kind) return; // it has changed while the browser was asked
    if (kind === 'camera') {
      this.#camera.replaceChildren(...cameras.map(({ deviceId, label }, i) => new Option(label || t('Camera {number}', { number: i + 1 }), deviceId)));
      // The one that the browser chose, not the first of the list: a phone would come back from a pause with another.
      this.#camera.value = device_id || this.#settings.own('camera');
      if (device_id) this.#settings.keepOwn('camera', device_id);
    }
    keepFocus(() => {
      this.#camera.hidden = this.#flip.hidden = cameras.length < 2;
    });
  }

  #turnAround() {
    const facing = this.#source.track?.getSettings().facingMode;
    if (facing) {
      this.#settings.keepOwn('facing', facing === 'user' ? 'environment' : 'user');
      this.#settings.keepOwn('camera', '');
    } else {
      this.#camera.selectedIndex = (this.#camera.selectedIndex + 1) % this.#camera.options.length;
      this.#settings.keepOwn('camera', this.#camera.value);
    }
    this.#onChosen();
  }

  async #switchTorch() {
    const { track } = this.#source;
    if (!track) return;
    const on = this.#torch.ariaPressed !== 'true';
    try {
      await setTorch(track, on);
      this.#torch.ariaPressed = String(on);
    } catch (error) {
      say(later('The lamp cannot be switched ({error}).', { error: String(error) })); // captions go on without
    }
  }

  /** Only videos have one; those of a camera or a screen have no end. */
  #showPosition() {
    const { duration, currentTime } = this.#video;
    this.#seek.hidden = this.#source.kind !== 'video' || !Number.isFinite(duration);
    if (this.#seek.hidden) return;
    this.#seek.max = String(duration);
    this.#seek.value = String(currentTime);
    // A screen reader would read each second of the video to whoever stands on it.
    if (document.activeElement !== this.#seek) this.#sayPosition();
  }

  #sayPosition() {
    const { duration, currentTime } = this.#video;
    this.#seek.setAttribute('aria-valuetext', t('{time} of {length}', { time: minutes(currentTime), length: minutes(duration) }));
  }
}

/** 75 s → 1:15. @param {number} time_s */
const minutes = (time_s) => `${Math.floor(time_s / 60)}:${String(Math.floor(time_s % 60)).padStart(2, '0')}`;

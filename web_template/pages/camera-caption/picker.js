/**
 * @file The controls with which a visitor chooses where the pictures come from: sample, camera (which, and which way it
 * looks), a file (chosen, pasted or dropped), a screen; and those of the source in use: position, lamp.
 */

/** @import { PageConfig, Query } from '../../shared/protocol.js' */
/** @import { Facing } from './camera.js' */
/** @import { Settings } from './settings.js' */
/** @import { Source, Wanted } from './sources.js' */

import { absolute } from '../../shared/config.js';
import { later, onLanguage, t } from '../../shared/language.js';
import { PageError, byRole } from '../../shared/state.js';
import { canShareScreen, hasTorch, listCameras, setTorch } from './camera.js';
import { makeChoice, optionsOf } from './choices.js';

/** Camera pictures where the setting is “as they come”. */
const LARGEST = 1920;

export class SourcePicker {
  #source;
  #settings;
  #onChosen;
  #choices = byRole('source', HTMLFieldSetElement);
  #camera = byRole('camera', HTMLSelectElement);
  #flip = byRole('flip', HTMLButtonElement);
  #torch = byRole('torch', HTMLButtonElement);
  #share = byRole('share', HTMLButtonElement);
  #seek = byRole('seek', HTMLInputElement);
  #video = byRole('video', HTMLVideoElement);
  /** What was opened from this device. @type {Wanted | null} */
  #file = null;
  /** Address of the sample; empty where there is none. */
  #sample = '';

  /**
   * @param {Source} source
   * @param {Settings} settings
   * @param {{ onChosen: () => void, onProblem: (error: unknown) => void }} page
   */
  constructor(source, settings, { onChosen, onProblem }) {
    this.#source = source;
    this.#settings = settings;
    this.#onChosen = onChosen;
    this.#choices.onchange = onChosen;
    this.#camera.onchange = () => {
      settings.keepOwn('camera', this.#camera.value);
      onChosen();
    };
    this.#flip.onclick = () => this.#turnAround();
    this.#torch.onclick = () => void this.#switchTorch().catch(onProblem);
    this.#share.hidden = !canShareScreen();
    this.#share.onclick = () => this.#add('screen');
    const pick = byRole('pick', HTMLInputElement);
    const take = (/** @type {File | null | undefined} */ file) => file && void this.openFile(file).catch(onProblem);
    pick.onchange = () => {
      take(pick.files?.[0]);
      pick.value = ''; // the same file may be chosen again
    };
    document.addEventListener('paste', (event) => take(event.clipboardData?.files[0]));
    document.addEventListener('dragover', (event) => event.preventDefault());
    document.addEventListener('drop', (event) => {
      event.preventDefault();
      take(event.dataTransfer?.files[0]);
    });
    this.#seek.oninput = () => {
      this.#video.currentTime = this.#seek.valueAsNumber;
    };
    for (const event of ['timeupdate', 'durationchange', 'emptied']) this.#video.addEventListener(event, () => this.#showPosition());
    onLanguage(() => this.#translate());
  }

  /** @param {{ config: PageConfig, query: Query }} opened */
  show({ config, query }) {
    const sample = config.sample?.video ? absolute(config.sample.video) : null;
    const named = ['camera', 'sample', 'screen'].includes(query.source ?? '');
    const own = query.source && !named ? absolute(query.source) : null;
    this.#sample = sample ?? '';
    const chosen = own ?? (query.source === 'camera' || !sample ? 'camera' : sample);
    const options = optionsOf(this.#choices);
    options.replaceChildren();
    if (own) options.append(makeChoice('source', own, this.#label(own), true));
    if (sample) options.append(makeChoice('source', sample, this.#label(sample), chosen === sample));
    options.append(makeChoice('source', 'camera', this.#label('camera'), chosen === 'camera'));
    if (query.source === 'screen' && canShareScreen()) this.#addChoice('screen');
    this.preview();
  }

  /** `camera`, `screen`, `file`, or the address of a video. */
  get value() {
    return /** @type {HTMLInputElement | null} */ (this.#choices.querySelector('input:checked'))?.value ?? 'camera';
  }

  /** How a link would name the choice; empty: not at all, as a file lies on this device only. */
  get name() {
    const { value } = this;
    if (value === 'file') return '';
    if (value === this.#sample) return 'sample';
    return value === 'camera' || value === 'screen' ? value : new URL(value).pathname;
  }

  /** @returns {Wanted} what to open */
  get wanted() {
    const { value } = this;
    if (value === 'screen') return { kind: 'screen' };
    if (value === 'file' && this.#file) return this.#file;
    if (value !== 'camera') return { kind: 'video', url: value };
    const facing = /** @type {Facing} */ (this.#settings.own('facing'));
    return { kind: 'camera', device_id: this.#settings.own('camera'), facing, longest: this.#settings.number('size') || LARGEST };
  }

  /** Show what was chosen, before anything runs. */
  preview() {
    this.#hideTools();
    const { wanted } = this;
    if (wanted.kind === 'video') this.#source.preview(wanted.url);
    else if (wanted.kind === 'picture') void this.#source.open(wanted);
    else this.#source.close();
  }

  /** The chosen source is open: show its controls. */
  async opened() {
    this.#hideTools();
    const { kind, track, device_id } = this.#source;
    this.#showPosition();
    if (kind !== 'camera') return;
    const cameras = await listCameras();
    const options = cameras.map(({ deviceId, label }, i) => new Option(label || t('Camera {number}', { number: i + 1 }), deviceId));
    this.#camera.replaceChildren(...options);
    // The one that the browser chose, not the first of the list: a phone would come back from a pause with another.
    this.#camera.value = device_id;
    if (device_id) this.#settings.keepOwn('camera', device_id);
    this.#camera.hidden = cameras.length < 2;
    this.#flip.hidden = cameras.length < 2;
    this.#torch.hidden = !hasTorch(track);
    this.#torch.ariaPressed = 'false';
  }

  /** The source is gone, and with it the controls of it. */
  closed() {
    this.#torch.hidden = true;
    if (this.value === 'screen') this.#seek.hidden = true;
  }

  /**
   * Open a video or a picture of this device.
   *
   * @param {File} file
   * @throws {PageError} it is neither
   */
  async openFile(file) {
    if (file.type.startsWith('video/')) {
      this.#letGo();
      this.#file = { kind: 'video', url: URL.createObjectURL(file) };
    } else {
      const bitmap = await createImageBitmap(file).catch((error) => {
        throw new PageError({
          title: later('This file cannot be opened'),
          what: later('{name} is no picture and no video that this browser can read.', { name: file.name }),
          todo: later('Choose another file, for example a JPEG, a PNG, or an MP4.'),
        }, error);
      });
      this.#letGo();
      this.#file = { kind: 'picture', bitmap };
    }
    this.#add('file');
  }

  #letGo() {
    if (this.#file?.kind === 'video') URL.revokeObjectURL(this.#file.url);
  }

  /** @param {'file' | 'screen'} value */
  #add(value) {
    this.#addChoice(value);
    this.#onChosen();
  }

  /** @param {'file' | 'screen'} value */
  #addChoice(value) {
    const options = optionsOf(this.#choices);
    const there = /** @type {HTMLInputElement | null} */ (options.querySelector(`input[value="${value}"]`));
    if (there) there.checked = true;
    else options.append(makeChoice('source', value, this.#label(value), true));
  }

  /** @param {string} value */
  #label(value) {
    if (value === 'camera') return t('Camera');
    if (value === 'screen') return t('Screen');
    if (value === 'file') return t('File');
    return value === this.#sample ? t('Sample') : t('Video');
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
    await setTorch(track, on);
    this.#torch.ariaPressed = String(on);
  }

  #hideTools() {
    for (const tool of [this.#camera, this.#flip, this.#torch, this.#seek]) tool.hidden = true;
  }

  /** Only videos have one; those of a camera or a screen have no end. */
  #showPosition() {
    const { duration, currentTime } = this.#video;
    this.#seek.hidden = this.#source.kind !== 'video' || !Number.isFinite(duration);
    if (this.#seek.hidden) return;
    this.#seek.max = String(duration);
    this.#seek.value = String(currentTime);
    this.#seek.setAttribute('aria-valuetext', t('{time} of {length}', { time: minutes(currentTime), length: minutes(duration) }));
  }

  #translate() {
    for (const input of this.#choices.querySelectorAll('input')) {
      if (input.nextElementSibling) input.nextElementSibling.textContent = this.#label(input.value);
    }
  }
}

/** 75 s → 1:15. @param {number} time_s */
const minutes = (time_s) => `${Math.floor(time_s / 60)}:${String(Math.floor(time_s % 60)).padStart(2, '0')}`;

/**
 * @file The controls with which a visitor chooses where the pictures come from: sample, camera, a file (chosen, pasted or
 * dropped), a screen. Those of the source in use are in tools.js.
 */

/** @import { PageConfig, Query, Text } from '../../shared/protocol.js' */
/** @import { Facing } from './camera.js' */
/** @import { Settings } from './settings.js' */
/** @import { Source, Wanted } from './sources.js' */

import { absolute } from '../../shared/config.js';
import { later, onLanguage, t } from '../../shared/language.js';
import { PageError, byRole, say } from '../../shared/state.js';
import { canShareScreen } from './capture.js';
import { makeChoice, optionsOf } from './choices.js';

export class SourcePicker {
  #source;
  #settings;
  /** Something was chosen. */
  onChosen = () => this.preview();
  /** What was given cannot be opened. @type {(error: unknown) => void} */
  onProblem = (error) => {
    if (error instanceof PageError) say(error.what);
  };
  #choices = byRole('source', HTMLFieldSetElement);
  #share = byRole('share', HTMLButtonElement);
  /** What was opened from this device. @type {Wanted | null} */
  #file = null;
  /** Address of the sample; empty where there is none. */
  #sample = '';

  /** @param {Source} source @param {Settings} settings */
  constructor(source, settings) {
    this.#source = source;
    this.#settings = settings;
    this.#choices.onchange = () => this.onChosen();
    this.#share.hidden = !canShareScreen();
    this.#share.onclick = () => this.#add('screen');
    const pick = byRole('pick', HTMLInputElement);
    const take = (/** @type {File | null | undefined} */ file) => file && void this.openFile(file).catch((error) => this.onProblem(error));
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
    onLanguage(() => this.#translate());
  }

  /**
   * Show what there is to choose from.
   *
   * @param {{ config: PageConfig, query: Query }} opened
   * @returns {Text[]} what was wished for and is not to be had
   */
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
    const screen = query.source === 'screen';
    if (screen && canShareScreen()) this.#addChoice('screen');
    this.preview();
    return screen && !canShareScreen() ? [later('“{given}” was ignored: this browser does not let this page see a screen.', { given: 'source=screen' })] : [];
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
    return { kind: 'camera', device_id: this.#settings.own('camera'), facing, longest: this.#settings.number('size') };
  }

  /** Show what was chosen, before anything runs. */
  preview() {
    const { wanted } = this;
    if (wanted.kind === 'video') this.#source.preview(wanted.url);
    else if (wanted.kind === 'picture') void this.#source.open(wanted).catch(() => {}); // something else was chosen meanwhile
    else this.#source.close();
  }

  /**
   * Open a video or a picture of this device. Some systems name no type for a file: then what it is shows by opening it.
   *
   * @param {File} file
   * @throws {PageError} it is neither
   */
  async openFile(file) {
    const picture = async () => ({ kind: /** @type {const} */ ('picture'), bitmap: await createImageBitmap(file) });
    const video = async () => ({ kind: /** @type {const} */ ('video'), url: await videoAddress(file) });
    const opened = await (file.type.startsWith('video/') ? video() : picture().catch(video)).catch((error) => {
      throw new PageError({
        title: later('This file cannot be opened'),
        what: later('{name} is no picture and no video that this browser can read.', { name: file.name }),
        todo: later('Choose another file, for example a JPEG, a PNG, or an MP4.'),
      }, error);
    });
    this.#letGo();
    this.#file = opened;
    this.#add('file');
  }

  #letGo() {
    if (this.#file?.kind === 'video') URL.revokeObjectURL(this.#file.url);
    if (this.#file?.kind === 'picture') this.#source.release(this.#file.bitmap);
  }

  /** @param {'file' | 'screen'} value */
  #add(value) {
    this.#addChoice(value);
    this.onChosen();
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

  #translate() {
    for (const input of this.#choices.querySelectorAll('input')) {
      if (input.nextElementSibling) input.nextElementSibling.textContent = this.#label(input.value);
    }
  }
}

/** @param {File} file @returns {Promise<string>} an address under which a video element plays it */
async function videoAddress(file) {
  const url = URL.createObjectURL(file);
  if (file.type.startsWith('video/')) return url; // whether it plays shows when it does
  const video = document.createElement('video');
  try {
    await new Promise((resolve, reject) => {
      Object.assign(video, { preload: 'metadata', muted: true, onloadedmetadata: resolve, onerror: () => reject(video.error), src: url });
    });
    return url;
  } catch (error) {
    URL.revokeObjectURL(url);
    throw error;
  } finally {
    video.removeAttribute('src');
  }
}

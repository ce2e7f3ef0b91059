/**
 * @file The visitor's settings: read from the address, else from the last visit, else what suits most; written to the
 * last visit, and into links. The menus that show them are found by `data-setting`.
 */

/** @import { Text } from '../../shared/protocol.js' */

import { later } from '../../shared/language.js';

const KEPT = 'webgpu-demo/camera-caption';

/**
 * Every setting with the values it may have; the first is the default. Values are words in links, and so are strings.
 *
 * @type {Record<string, readonly string[]>}
 */
export const CHOICES = {
  /** Length of captions. */
  length: ['normal', 'short', 'long'],
  /** Seconds from one caption to the next; 0: as soon as the last is done. */
  pace: ['0', '2', '5', '10', '30'],
  /** Longer edge of the pictures in pixels; 0: as they come. */
  size: ['640', '320', '1280', '0'],
  /** Whether the model rests while the picture stays the same. */
  gate: ['1', '0'],
  /** Who speaks the captions: the visitor's screen reader, this page's voice, nobody. */
  speak: ['reader', 'voice', 'nobody'],
  /** Least seconds between two spoken captions. */
  every: ['4', '2', '8', '15', '30'],
  /** Size of the caption. */
  text: ['1', '2', '3', '4'],
  /** Whether single letters are keys. */
  keys: ['1', '0'],
  /** Speed and loudness of this page's voice. */
  rate: ['1', '0.75', '1.25', '1.5', '2'],
  volume: ['1', '0.75', '0.5', '0.25'],
};

/** What is kept on this device only, and never goes into a link. @typedef {{ camera: string, facing: string, voice: string }} Private */

export class Settings {
  /** @type {Record<string, string>} */
  #values = {};
  /** @type {Private} */
  #own = { camera: '', facing: '', voice: '' };
  /** @type {((name: string) => void)[]} */
  #listeners = [];
  /** Parameters of the address that name no value there is, in words. @type {Text[]} */
  notices = [];

  /** @param {URLSearchParams} query */
  constructor(query) {
    const kept = readKept();
    for (const [name, choices] of Object.entries(CHOICES)) {
      const asked = query.get(name);
      if (asked !== null && !choices.includes(asked)) this.notices.push(later('“{given}” was ignored: it is one of {known}.', { given: `${name}=${asked}`, known: choices.join(', ') }));
      const found = [asked, kept[name]].find((value) => choices.includes(/** @type {string} */ (value)));
      this.#values[name] = /** @type {string} */ (found ?? choices[0]);
    }
    for (const name of /** @type {(keyof Private)[]} */ (Object.keys(this.#own))) {
      if (typeof kept[name] === 'string') this.#own[name] = kept[name];
    }
  }

  /** @param {keyof typeof CHOICES} name */
  get(name) {
    return /** @type {string} */ (this.#values[name]);
  }

  /** @param {string} name @returns {number} */
  number(name) {
    return Number(this.get(name));
  }

  /** @param {keyof Private} name */
  own(name) {
    return this.#own[name];
  }

  /** @param {keyof Private} name @param {string} value */
  keepOwn(name, value) {
    this.#own[name] = value;
    this.#keep();
  }

  /** @param {string} name @param {string} value one of CHOICES */
  set(name, value) {
    if (!CHOICES[name]?.includes(value) || this.#values[name] === value) return;
    this.#values[name] = value;
    this.#keep();
    for (const listener of this.#listeners) listener(name);
  }

  /** Call back with the name of a setting that has changed. @param {(name: string) => void} listener */
  onChange(listener) {
    this.#listeners.push(listener);
  }

  /** Let every menu with `data-setting` show and change its setting. @param {ParentNode} root */
  bind(root) {
    for (const menu of root.querySelectorAll('select[data-setting]')) {
      const select = /** @type {HTMLSelectElement} */ (menu);
      const name = select.dataset.setting ?? '';
      select.value = this.get(name);
      select.onchange = () => this.set(name, select.value);
      this.onChange((changed) => {
        if (changed === name) select.value = this.get(name);
      });
    }
  }

  /** Forget what was kept on this device. */
  clear() {
    try {
      localStorage.removeItem(KEPT);
    } catch {
      // nothing is kept where storage is refused
    }
  }

  /**
   * The address of this page with these settings; what is as usual is left out.
   *
   * @param {Record<string, string>} more further parameters; empty ones are left out
   */
  link(more) {
    const link = new URL(location.href);
    const present = new URLSearchParams(location.search);
    link.hash = '';
    link.search = '';
    for (const name of ['device', 'dtype']) if (present.get(name)) link.searchParams.set(name, present.get(name) ?? '');
    for (const [name, value] of Object.entries(more)) if (value) link.searchParams.set(name, value);
    for (const [name, [usual]] of Object.entries(CHOICES)) {
      if (this.get(name) !== usual) link.searchParams.set(name, this.get(name));
    }
    return link.href;
  }

  #keep() {
    try {
      localStorage.setItem(KEPT, JSON.stringify({ ...this.#values, ...this.#own }));
    } catch {
      // storage is refused or full; the settings hold until the page is closed
    }
  }
}

/** @returns {Record<string, unknown>} */
function readKept() {
  try {
    return Object(JSON.parse(localStorage.getItem(KEPT) ?? '{}'));
  } catch {
    return {};
  }
}

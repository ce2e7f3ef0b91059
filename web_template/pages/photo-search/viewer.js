/**
 * @file One photo, large: the original where it is open in this visit, its thumbnail where it is not.
 */

/** @import { PhotoCalls } from '../../shared/protocol.js' */
/** @import { Session } from '../../shared/session.js' */
/** @import { Pictures, Shown } from './pictures.js' */

import { t } from '../../shared/language.js';
import { byRole, part } from '../../shared/state.js';
import { copyPicture, download } from './saving.js';
import { dateWords, fileName, folderName, placeWords } from './wording.js';

/** @typedef {{ row: number, name: string, url: string }} Example */

/**
 * @typedef {{
 *   pictures: Pictures,
 *   session: () => Session<PhotoCalls> | null,
 *   like: (example: Example, only: boolean) => void,
 *   select: (row: number) => void,
 *   isSelected: (row: number) => boolean,
 *   onClose: (at: number) => void,
 * }} Page
 */

export class Viewer {
  #dialog = byRole('viewer', HTMLDialogElement);
  #image;
  #page;
  /** @type {ArrayLike<number>} */
  #rows = [];
  #at = 0;
  /** Shows twins of this photo in place of the list. */
  #home = { rows: /** @type {ArrayLike<number>} */ ([]), at: 0 };
  /** @type {Shown | null} */
  #shown = null;
  /** @type {Blob | null} */
  #file = null;
  #url = '';

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
    this.#image = /** @type {HTMLImageElement} */ (part(this.#dialog, 'photo'));
    this.#dialog.addEventListener('close', () => {
      this.#release();
      page.onClose(this.#home.at);
    });
    // A click on the backdrop is a click on the dialog itself.
    this.#dialog.addEventListener('click', ({ target }) => target === this.#dialog && this.#dialog.close());
    this.#dialog.addEventListener('keydown', (event) => {
      if (event.key === 'ArrowLeft') void this.#step(-1);
      else if (event.key === 'ArrowRight') void this.#step(1);
      else return;
      event.preventDefault();
    });
    this.#on('previous', () => this.#step(-1));
    this.#on('next', () => this.#step(1));
    this.#on('like', () => this.#like(true));
    this.#on('example', () => this.#like(false));
    this.#on('select', () => {
      page.select(Number(this.#rows[this.#at]));
      this.#showSelected();
    });
    this.#on('copy', () => this.#copy());
    this.#on('save', () => this.#file && this.#shown && download(this.#file, fileName(this.#shown.facts.name)));
    this.#on('twins', () => {
      if (!this.#shown) return;
      this.#rows = [Number(this.#rows[this.#at]), ...this.#shown.facts.twins];
      this.#at = 0;
      void this.#step(1);
    });
  }

  /** @param {string} name @param {() => unknown} action */
  #on(name, action) {
    part(this.#dialog, name).onclick = () => void action();
  }

  /** @param {ArrayLike<number>} rows @param {number} at the one to show */
  open(rows, at) {
    this.#home = { rows, at };
    [this.#rows, this.#at] = [rows, at];
    this.#dialog.showModal();
    void this.#show();
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  /** @param {number} by */
  async #step(by) {
    const at = this.#at + by;
    if (at < 0 || at >= this.#rows.length) return;
    this.#at = at;
    if (this.#rows === this.#home.rows) this.#home.at = at;
    await this.#show();
  }

  async #show() {
    const row = Number(this.#rows[this.#at]);
    this.#release();
    const shown = await this.#page.pictures.get(row);
    if (Number(this.#rows[this.#at]) !== row || !this.#dialog.open) return; // the visitor is further already
    this.#shown = shown;
    const { name, date, place, twins } = shown.facts;
    part(this.#dialog, 'name').textContent = fileName(name);
    const position = t('{at} of {all}', { at: this.#at + 1, all: this.#rows.length });
    part(this.#dialog, 'facts').textContent = [dateWords(date), folderName(name), place && placeWords(place), position].filter(Boolean).join(' · ');
    const twinsButton = part(this.#dialog, 'twins');
    twinsButton.hidden = !twins.length || this.#rows !== this.#home.rows;
    twinsButton.textContent = t('{count} look the same', { count: twins.length });
    /** @type {HTMLButtonElement} */ (part(this.#dialog, 'previous')).disabled = this.#at === 0;
    /** @type {HTMLButtonElement} */ (part(this.#dialog, 'next')).disabled = this.#at >= this.#rows.length - 1;
    this.#showSelected();
    this.#image.alt = fileName(name);
    this.#image.src = shown.url;
    await this.#showOriginal(row, name);
  }

  /** @param {number} row @param {string} name */
  async #showOriginal(row, name) {
    const still = () => Number(this.#rows[this.#at]) === row && this.#dialog.open;
    let hint = '';
    try {
      const file = await this.#page.pictures.original(name);
      if (!still()) return;
      if (file) {
        await this.#showFile(file, still);
      } else {
        const address = this.#page.pictures.addressOf(name);
        if (address) this.#image.src = address;
        else hint = t('This is the thumbnail. To see the photo itself, choose its folder again.');
        // Pixels of another site may be shown, and not be read.
        part(this.#dialog, 'copy').hidden = address !== '' && new URL(address).origin !== location.origin;
      }
    } catch (error) {
      hint = t('The photo itself cannot be opened: {why}', { why: error instanceof Error ? error.message : String(error) });
    }
    if (still()) part(this.#dialog, 'hint').textContent = hint;
  }

  /** @param {Blob} file @param {() => boolean} still */
  async #showFile(file, still) {
    this.#file = file;
    /** @type {HTMLButtonElement} */ (part(this.#dialog, 'save')).disabled = false;
    const url = URL.createObjectURL(file);
    const test = new Image();
    test.src = url;
    const readable = await test.decode().then(() => true, () => false);
    if (!readable) URL.revokeObjectURL(url);
    const session = this.#page.session();
    // What the browser cannot show (HEIC in most), the worker can.
    const picture = readable || !session ? url : URL.createObjectURL((await session.request('render', { source: /** @type {File} */ (file) })).picture);
    if (!still()) return URL.revokeObjectURL(picture);
    this.#url = picture;
    this.#image.src = picture;
    this.#image.dataset.shows = 'original';
  }

  #showSelected() {
    const button = part(this.#dialog, 'select');
    const selected = this.#page.isSelected(Number(this.#rows[this.#at]));
    button.textContent = t(selected ? 'Unselect' : 'Select');
  }

  /** @param {boolean} only */
  #like(only) {
    if (!this.#shown) return;
    const { facts, url } = this.#shown;
    this.#dialog.close();
    this.#page.like({ row: facts.row, name: fileName(facts.name), url }, only);
  }

  async #copy() {
    const hint = part(this.#dialog, 'hint');
    try {
      await copyPicture(this.#image);
      hint.textContent = t('The picture is in the clipboard.');
    } catch (error) {
      hint.textContent = t('It could not be copied: {why}', { why: error instanceof Error ? error.message : String(error) });
    }
  }

  #release() {
    this.#image.removeAttribute('src');
    this.#image.dataset.shows = 'thumbnail';
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = '';
    this.#file = null;
    part(this.#dialog, 'hint').textContent = '';
    /** @type {HTMLButtonElement} */ (part(this.#dialog, 'save')).disabled = true;
  }
}

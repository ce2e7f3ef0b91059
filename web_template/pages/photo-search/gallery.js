/**
 * @file The view of the photos: the album as it fills, the results of a search, one photo large.
 *
 * The page holds thumbnails only; a photo at its own size is opened when the visitor looks at it, and let go after.
 */

/** @import { Hit } from '../../shared/protocol.js' */
/** @import { Photo } from './intake.js' */

import { byRole, part } from '../../shared/state.js';

/** Thumbnails shown before there is a search; a larger album is only counted. */
const ALBUM_SHOWN = 120;

export class Gallery {
  #album = byRole('album', HTMLElement);
  #results = byRole('results', HTMLElement);
  #viewer = byRole('viewer', HTMLDialogElement);
  #problems = byRole('unreadable', HTMLDetailsElement);
  /** @type {Map<number, { photo: Photo, thumbnail: string }>} */
  #photos = new Map();
  #unreadable = 0;
  #opened = '';

  constructor() {
    this.#viewer.addEventListener('close', () => {
      part(this.#viewer, 'photo').removeAttribute('src');
      if (this.#opened) URL.revokeObjectURL(this.#opened);
      this.#opened = '';
    });
    // A click on the backdrop is a click on the dialog itself.
    this.#viewer.addEventListener('click', (event) => event.target === this.#viewer && this.#viewer.close());
  }

  get size() {
    return this.#photos.size;
  }

  /** @param {number} id @param {Photo} photo @param {Blob} thumbnail */
  add(id, photo, thumbnail) {
    this.#photos.set(id, { photo, thumbnail: URL.createObjectURL(thumbnail) });
    if (this.#photos.size <= ALBUM_SHOWN) this.#album.append(this.#tile(id, photo.name, photo.name));
  }

  /** @param {Photo} photo @param {string} why */
  addUnreadable(photo, why) {
    this.#unreadable += 1;
    const line = document.createElement('li');
    line.textContent = `${photo.name}: ${why}`;
    part(this.#problems, 'list').append(line);
    part(this.#problems, 'summary').textContent = `${this.#unreadable} ${this.#unreadable === 1 ? 'file' : 'files'} could not be read`;
    this.#problems.hidden = false;
  }

  /** Forget every photo: the index behind them is gone. */
  reset() {
    for (const { thumbnail } of this.#photos.values()) URL.revokeObjectURL(thumbnail);
    this.#photos.clear();
    this.#album.replaceChildren();
    this.#unreadable = 0;
    this.#problems.hidden = true;
    part(this.#problems, 'list').replaceChildren();
    this.showAlbum();
  }

  /** Show the album again. */
  showAlbum() {
    this.#results.replaceChildren();
    this.#results.hidden = true;
    this.#album.hidden = false;
  }

  /** @param {Hit[]} hits best first */
  showResults(hits) {
    const best = hits[0]?.score ?? 0;
    const tiles = hits.flatMap(({ id, score }, i) => {
      const found = this.#photos.get(id);
      if (!found) return [];
      const tile = this.#tile(id, found.photo.name, `${found.photo.name}, match ${i + 1} of ${hits.length}`);
      tile.dataset.score = score.toFixed(4);
      const meter = document.createElement('meter');
      Object.assign(meter, { min: 0, max: Math.max(best, 0.01), value: Math.max(score, 0), ariaHidden: 'true' });
      const number = document.createElement('span');
      number.className = 'score';
      number.textContent = score.toFixed(2);
      tile.append(meter, number);
      return [tile];
    });
    this.#results.replaceChildren(...tiles);
    this.#results.hidden = false;
    this.#album.hidden = true;
  }

  /** @param {number} id @param {string} name @param {string} alt */
  #tile(id, name, alt) {
    const tile = document.createElement('li');
    tile.dataset.photo = String(id);
    tile.dataset.name = name;
    const button = document.createElement('button');
    button.type = 'button';
    button.onclick = () => this.#open(id);
    const image = document.createElement('img');
    Object.assign(image, { src: this.#photos.get(id)?.thumbnail ?? '', alt, title: name, decoding: 'async' });
    button.append(image);
    tile.append(button);
    return tile;
  }

  /** @param {number} id */
  #open(id) {
    const found = this.#photos.get(id);
    if (!found) return;
    const { name, source } = found.photo;
    const image = /** @type {HTMLImageElement} */ (part(this.#viewer, 'photo'));
    if (typeof source === 'string') image.src = source;
    else image.src = this.#opened = URL.createObjectURL(source);
    image.alt = name;
    part(this.#viewer, 'name').textContent = name;
    this.#viewer.showModal();
  }
}

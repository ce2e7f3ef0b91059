/**
 * @file A grid of any number of photos, of which only those near the window are in the page.
 *
 * A list to assistive technology: each item knows its place among all (aria-posinset, aria-setsize), and one item at a
 * time is in the tab order. Arrow keys go around, Home and End to the ends, Enter opens, X selects.
 */

/** @import { Pictures } from './pictures.js' */

import { t } from '../../shared/language.js';
import { dateWords, fileName } from './wording.js';

/** Tiles are at least this wide, but two fit beside each other on the narrowest phone. */
const LEAST_TILE = 152;
const GAP = 12;
/** Height of the line with the score, where it is shown. */
const SCORE_LINE = 24;
/** Rows of tiles above and below the window that are there already when they are scrolled to. */
const SPARE_LINES = 3;

/** @typedef {{ open: (row: number, at: number) => void, select: (row: number) => void, isSelected: (row: number) => boolean }} Actions */

export class Gallery {
  #list;
  #pictures;
  #actions;
  /** @type {ArrayLike<number>} */
  #rows = [];
  /** @type {ArrayLike<number> | null} */
  #scores = null;
  #showScores = false;
  /** Place of the one tile that Tab reaches. */
  #current = 0;
  /** Tiles in the page, by place. @type {Map<number, HTMLElement>} */
  #tiles = new Map();
  #columns = 1;
  #drawing = 0;

  /** @param {HTMLElement} list @param {Pictures} pictures @param {Actions} actions */
  constructor(list, pictures, actions) {
    this.#list = list;
    this.#pictures = pictures;
    this.#actions = actions;
    new ResizeObserver(() => this.draw()).observe(list);
    addEventListener('scroll', () => this.draw(), { passive: true });
    addEventListener('resize', () => this.draw(), { passive: true });
    list.addEventListener('keydown', (event) => this.#onKey(event));
    list.addEventListener('focusin', ({ target }) => {
      const tile = target instanceof Element ? target.closest('li') : null;
      const at = [...this.#tiles].find(([, each]) => each === tile)?.[0];
      if (at !== undefined) this.#makeCurrent(at);
    });
  }

  get rows() {
    return this.#rows;
  }

  /**
   * Show these photos.
   *
   * @param {ArrayLike<number>} rows in order
   * @param {ArrayLike<number> | null} [scores] of a search
   */
  show(rows, scores = null) {
    const held = this.#list.contains(document.activeElement);
    this.#rows = rows;
    this.#scores = scores;
    this.#current = Math.min(this.#current, Math.max(rows.length - 1, 0));
    if (scores) this.#current = 0;
    this.#clear();
    this.#list.hidden = false;
    this.draw(true);
    if (held) this.#focus(this.#current);
  }

  hide() {
    this.#list.hidden = true;
    this.#rows = [];
    this.#clear();
  }

  /** @param {boolean} shown */
  set showScores(shown) {
    this.#showScores = shown;
    this.redraw();
  }

  /** Everything on screen anew: language, selection or facts have changed. */
  redraw() {
    if (this.#list.hidden) return;
    const focused = document.activeElement;
    const held = focused !== null && this.#list.contains(focused);
    this.#clear();
    this.draw(true);
    if (held) this.#focus(this.#current);
  }

  #clear() {
    this.#tiles.clear();
    this.#list.replaceChildren();
  }

  /** Put the tiles near the window into the page. @param {boolean} [now] do not wait for the next frame */
  draw(now = false) {
    if (this.#list.hidden) return;
    cancelAnimationFrame(this.#drawing);
    if (now) this.#draw();
    else this.#drawing = requestAnimationFrame(() => this.#draw());
  }

  #measure() {
    const width = this.#list.clientWidth;
    this.#columns = Math.max(2, Math.floor((width + GAP) / (LEAST_TILE + GAP)));
    const tile = (width - GAP * (this.#columns - 1)) / this.#columns;
    const line = tile + (this.#showScores && this.#scores ? SCORE_LINE : 0) + GAP;
    return { tile, line };
  }

  #draw() {
    const { tile, line } = this.#measure();
    if (tile <= 0) return;
    const lines = Math.ceil(this.#rows.length / this.#columns);
    this.#list.style.height = `${Math.max(0, lines * line - GAP)}px`;
    const top = -this.#list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / line) - SPARE_LINES) * this.#columns;
    const last = Math.min(this.#rows.length, (Math.ceil((top + innerHeight) / line) + SPARE_LINES) * this.#columns);
    const wanted = new Set(Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i));
    if (this.#rows.length) wanted.add(this.#current); // Tab must find it, wherever it is
    for (const [at, element] of this.#tiles) {
      if (wanted.has(at)) continue;
      element.remove();
      this.#tiles.delete(at);
    }
    this.#pictures.keepOnly(new Set([...wanted].map((at) => Number(this.#rows[at]))));
    for (const at of [...wanted].sort((a, b) => a - b)) {
      const element = this.#tiles.get(at) ?? this.#addTile(at);
      const [column, lineNumber] = [at % this.#columns, Math.floor(at / this.#columns)];
      element.style.width = `${tile}px`;
      element.style.transform = `translate(${column * (tile + GAP)}px, ${lineNumber * line}px)`;
    }
  }

  /** @param {number} at */
  #addTile(at) {
    const row = Number(this.#rows[at]);
    const tile = document.createElement('li');
    tile.dataset.photo = String(row);
    tile.setAttribute('aria-posinset', String(at + 1));
    tile.setAttribute('aria-setsize', String(this.#rows.length));
    const button = document.createElement('button');
    button.type = 'button';
    button.tabIndex = at === this.#current ? 0 : -1;
    button.onclick = () => this.#actions.open(row, at);
    const image = document.createElement('img');
    Object.assign(image, { alt: '', decoding: 'async' });
    button.append(image);
    const choose = document.createElement('button');
    choose.type = 'button';
    choose.className = 'choose';
    choose.tabIndex = -1;
    choose.onclick = () => this.#actions.select(row);
    tile.append(button, choose);
    const score = this.#scores?.[at];
    if (score !== undefined) {
      tile.dataset.score = score.toFixed(4);
      if (this.#showScores) tile.append(this.#scoreLine(score));
    }
    // In the order of the photos, whichever of them came into view first: reading order is the order in the page.
    const after = [...this.#tiles].filter(([other]) => other > at).sort(([a], [b]) => a - b)[0];
    this.#list.insertBefore(tile, after?.[1] ?? null);
    this.#tiles.set(at, tile);
    this.#markSelected(tile, row);
    const known = this.#pictures.known(row);
    if (known) this.#fill(tile, at, known);
    else void this.#pictures.get(row, true).then((shown) => this.#tiles.get(at) === tile && this.#fill(tile, at, shown));
    return tile;
  }

  /** @param {HTMLElement} tile @param {number} at @param {import('./pictures.js').Shown} shown */
  #fill(tile, at, { facts, url }) {
    const name = fileName(facts.name);
    tile.dataset.name = name;
    const [button, choose] = /** @type {HTMLButtonElement[]} */ ([...tile.querySelectorAll('button')]);
    const image = tile.querySelector('img');
    if (!button || !choose || !image) return;
    if (url) image.src = url;
    const values = { name, date: dateWords(facts.date), at: at + 1, all: this.#rows.length };
    const place = this.#scores ? t('match {at} of {all}', values) : '';
    const twins = facts.twins.length ? t('{count} look the same', { count: facts.twins.length }) : '';
    const selected = this.#actions.isSelected(Number(tile.dataset.photo)) ? t('selected') : '';
    button.setAttribute('aria-label', [name, values.date, place, twins, selected].filter(Boolean).join(', '));
    button.title = name;
    choose.setAttribute('aria-label', t('Select {name}', { name }));
    if (!facts.twins.length) return;
    const badge = document.createElement('span');
    badge.className = 'twins';
    badge.setAttribute('aria-hidden', 'true');
    badge.textContent = `+${facts.twins.length}`;
    tile.append(badge);
  }

  /** @param {HTMLElement} tile @param {number} row */
  #markSelected(tile, row) {
    const selected = this.#actions.isSelected(row);
    tile.toggleAttribute('data-selected', selected);
    tile.querySelector('.choose')?.setAttribute('aria-pressed', String(selected));
  }

  /** @param {number} score */
  #scoreLine(score) {
    const best = Math.max(Number(this.#scores?.[0] ?? 0), 0.01);
    const line = document.createElement('p');
    line.className = 'score';
    const meter = document.createElement('meter');
    Object.assign(meter, { min: 0, max: best, value: Math.max(score, 0), ariaHidden: 'true' });
    const number = document.createElement('span');
    number.textContent = score.toFixed(2);
    line.append(meter, number);
    return line;
  }

  /** @param {number} at */
  #makeCurrent(at) {
    const before = this.#tiles.get(this.#current)?.querySelector('button');
    if (before) before.tabIndex = -1;
    this.#current = at;
    const now = this.#tiles.get(at)?.querySelector('button');
    if (now) now.tabIndex = 0;
  }

  /** Bring a photo into view and focus it. @param {number} at */
  #focus(at) {
    if (!this.#rows.length) return;
    const place = Math.min(Math.max(at, 0), this.#rows.length - 1);
    this.#makeCurrent(place);
    if (!this.#tiles.has(place)) this.#draw();
    const tile = this.#tiles.get(place);
    tile?.scrollIntoView({ block: 'nearest' });
    tile?.querySelector('button')?.focus({ preventScroll: true });
  }

  /** Focus a photo from outside (the viewer has closed on it). @param {number} at */
  focus(at) {
    this.#focus(at);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(innerHeight / this.#measure().line)) * this.#columns;
    const rtl = getComputedStyle(this.#list).direction === 'rtl' ? -1 : 1;
    /** @type {Record<string, number>} */
    const steps = {
      ArrowRight: rtl, ArrowLeft: -rtl, ArrowDown: this.#columns, ArrowUp: -this.#columns, PageDown: page, PageUp: -page,
      Home: -Infinity, End: Infinity,
    };
    const step = steps[event.key];
    if (step !== undefined) {
      event.preventDefault();
      this.#focus(this.#current + step);
    } else if (event.key.toLowerCase() === 'x') {
      event.preventDefault();
      this.#actions.select(Number(this.#rows[this.#current]));
    }
  }
}

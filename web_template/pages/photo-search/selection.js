/**
 * @file Photos that the visitor has picked out, and what can be done with them.
 */

/** @import { Pictures } from './pictures.js' */

import { later, t } from '../../shared/language.js';
import { byRole, part, say } from '../../shared/state.js';
import { copyText, download, zip } from './saving.js';
import { fileName, numberWords } from './wording.js';

/** @typedef {{ pictures: Pictures, runtime: () => string, onChange: () => void, like: (rows: number[]) => void, remove: (rows: number[]) => void }} Page `runtime`: the folder of client-zip.js */

export class Selection {
  /** In the order in which they were picked. @type {Set<number>} */
  #rows = new Set();
  #bar = byRole('selection', HTMLElement);
  #page;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
    this.#on('copy', async () => {
      await copyText((await this.#names()).join('\n'));
      say(later('{count} names are in the clipboard.', { count: numberWords(this.#rows.size) }));
    });
    this.#on('list', async () => {
      const text = `${(await this.#names()).join('\n')}\n`;
      download(new Blob([text], { type: 'text/plain;charset=utf-8' }), 'photos.txt');
    });
    this.#on('zip', () => this.#zip());
    this.#on('like', async () => page.like([...this.#rows]));
    this.#on('remove', async () => page.remove([...this.#rows]));
    this.#on('clear', async () => this.clear());
  }

  /** @param {string} name @param {() => Promise<void>} action */
  #on(name, action) {
    part(this.#bar, name).onclick = () => {
      action().catch((error) => say(later('That did not work: {why}', { why: error instanceof Error ? error.message : String(error) })));
    };
  }

  /** @param {number} row */
  has(row) {
    return this.#rows.has(row);
  }

  /** @param {number} row */
  toggle(row) {
    if (!this.#rows.delete(row)) this.#rows.add(row);
    this.show();
    this.#page.onChange();
    say(later('{count} selected', { count: numberWords(this.#rows.size) }));
  }

  clear() {
    if (!this.#rows.size) return;
    this.#rows.clear();
    this.show();
    this.#page.onChange();
  }

  show() {
    this.#bar.hidden = !this.#rows.size;
    part(this.#bar, 'text').textContent = t('{count} selected', { count: numberWords(this.#rows.size) });
  }

  async #names() {
    const shown = await Promise.all([...this.#rows].map((row) => this.#page.pictures.get(row)));
    return shown.map(({ facts }) => facts.name);
  }

  async #zip() {
    const files = [];
    let missing = 0;
    for (const row of this.#rows) {
      const { facts } = await this.#page.pictures.get(row);
      const file = await this.#page.pictures.original(facts.name).catch(() => null); // moved or deleted since
      if (file) files.push({ name: fileName(facts.name), file, date: facts.date });
      else missing += 1;
    }
    if (files.length) download(await zip(this.#page.runtime(), files), 'photos.zip');
    if (missing) say(later('{count} photos are not open in this visit: choose their folder again, then save them.', { count: numberWords(missing) }));
    else say(later('{count} photos are in photos.zip.', { count: numberWords(files.length) }));
  }
}

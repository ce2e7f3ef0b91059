/**
 * @file Index files that the visitor opens or saves: an album that was read elsewhere, or is to be searched elsewhere.
 */

/** @import { AlbumFacts, PhotoCalls } from '../../shared/protocol.js' */
/** @import { Session } from '../../shared/session.js' */

import { isAbort } from '../../shared/bridge.js';
import { later, t } from '../../shared/language.js';
import { say } from '../../shared/state.js';
import { download } from './saving.js';
import { tellProblem, whyNoIndex } from './trouble.js';
import { numberWords } from './wording.js';

/**
 * @typedef {{
 *   session: () => Session<PhotoCalls> | null,
 *   photos: () => number,
 *   onOpened: (facts: AlbumFacts, words: string) => Promise<void>,
 *   onBack: () => void,
 * }} Page `photos`: of the album; `onBack`: the visitor has read why a file was not opened
 */

export class IndexFiles {
  #page;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
  }

  /** @param {File} file */
  async open(file) {
    const session = this.#page.session();
    if (!session) return;
    say(later('Opening {name}…', { name: file.name }));
    try {
      const facts = await session.request('openFile', { file });
      const came = t('{count} photos came with {name}.', { count: numberWords(facts.opened), name: file.name });
      const apart = t('It was made with other weights of this model than run here: its photos may rank a little differently.');
      await this.#page.onOpened(facts, [came, facts.other_rounding && apart].filter(Boolean).join(' '));
    } catch (error) {
      if (isAbort(error)) return;
      const what = whyNoIndex(error);
      if (!what) return session.fail(error);
      tellProblem({
        title: later('{name} cannot be opened', { name: file.name }),
        what,
        todo: later('Make the index with the model of this page: webgpu-demo index.'),
        action: later('Back to the album'),
        retry: () => this.#page.onBack(),
      });
    }
  }

  async save() {
    const session = this.#page.session();
    if (!session) return;
    say(later('Writing the index…'));
    try {
      const { file } = await session.request('export', null);
      download(file, 'album.index');
      say(later('album.index holds {count} photos, their thumbnails and nothing else.', { count: numberWords(this.#page.photos()) }));
    } catch (error) {
      if (!isAbort(error)) session.fail(error);
    }
  }
}

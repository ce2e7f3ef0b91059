/**
 * @file Says what a search has found, in the page and to the live region: how many, out of how many, and what lies just
 * below the cut-off.
 */

/** @import { AlbumFacts, Unsaved } from '../../shared/protocol.js' */
/** @import { Found } from './searching.js' */

import { t } from '../../shared/language.js';
import { byRole, say } from '../../shared/state.js';
import { numberWords, sentences } from './wording.js';

/**
 * @param {{ found: Found | null, showsNear: boolean, album: AlbumFacts, query: string, filtered: boolean, busy: boolean, shown: number }} now
 *   `shown`: photos of the album that pass the filters
 */
export function showResults({ found, showsNear, album, query, filtered, busy, shown }) {
  const count = byRole('count', HTMLElement);
  const photos = t(album.photos === 1 ? '{count} photo' : '{count} photos', { count: numberWords(album.photos) });
  const folded = album.folded ? t('{count} look-alikes folded', { count: numberWords(album.folded) }) : '';
  if (!found) {
    const narrowed = filtered ? t('{count} of {photos}', { count: numberWords(shown), photos }) : photos;
    count.textContent = album.photos ? [narrowed, folded].filter(Boolean).join(' · ') : '';
    showEmpty(album.photos || busy ? (filtered && !shown ? t('No photo passes the filters.') : '') : t('No photos yet.'));
    showNear('');
    return;
  }
  const { found: matching, near, rows, searched } = found;
  const values = { count: numberWords(matching), query, all: numberWords(searched), near: numberWords(near) };
  const sentence = !album.photos
    ? t('Add photos first; then they can be searched')
    : matching
      ? t(query ? (matching === 1 ? '{count} of {all} photos matches “{query}”' : '{count} of {all} photos match “{query}”') : '{count} of {all} photos are like it', values)
      : t(query ? 'Nothing matches “{query}”' : 'Nothing is like it', values);
  const below = near ? t(near === 1 ? '{near} lies just below' : '{near} lie just below', values) : '';
  count.textContent = matching ? [sentence, below].filter(Boolean).join(' · ') : album.photos ? photos : '';
  showEmpty(matching && album.photos ? '' : sentences(sentence, below));
  const more = matching ? near : rows.length;
  if (!more) showNear('');
  else if (showsNear) showNear(t(matching ? 'Show only what matches' : 'Hide them'));
  else showNear(matching ? t(near === 1 ? 'Show the one just below' : 'Show the {near} just below', values) : t('Show the nearest anyway'));
  if (!busy) say(sentences(sentence, below));
}

/** @param {string} text */
function showEmpty(text) {
  const empty = byRole('empty', HTMLElement);
  empty.textContent = text;
  empty.hidden = text === '';
}

/** @param {string} text */
function showNear(text) {
  const button = byRole('show-near', HTMLButtonElement);
  button.textContent = text;
  button.hidden = text === '';
}

/** @param {Unsaved} unsaved */
export function showStorageNote(unsaved) {
  const note = byRole('storage-note', HTMLElement);
  note.hidden = unsaved === '';
  if (unsaved === 'full') note.textContent = t('There is no room left on this device: what is read from now on is there until the page is closed.');
  else if (unsaved === 'none') note.textContent = t('This browser keeps nothing here (a private window?): the album is there until the page is closed.');
}

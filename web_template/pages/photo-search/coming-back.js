/**
 * @file Goes on with what an earlier visit left unread: by itself where the photos can be opened again without asking,
 * otherwise with one button.
 */

/** @import { PhotoOrigin } from '../../shared/protocol.js' */
/** @import { Arrival } from './intake.js' */
/** @import { Pictures } from './pictures.js' */

import { onLanguage, t } from '../../shared/language.js';
import { byRole, part } from '../../shared/state.js';
import { fromFolder, mayRead } from './intake.js';

/** @typedef {{ take: (arrivals: Arrival[]) => void, openSample: () => Promise<Arrival | null>, pictures: Pictures }} Page */

const box = byRole('unfinished', HTMLElement);
let words = () => '';

/** @param {PhotoOrigin[]} origins @param {Page} page */
export async function comeBack(origins, page) {
  for (const origin of origins) {
    const { kind, root, handle, unfinished } = origin;
    const open = handle !== null && (await mayRead(handle, 'queryPermission'));
    if (open) page.pictures.folders.set(root, handle);
    if (kind === 'sample') {
      const sample = await page.openSample();
      if (sample && unfinished) page.take([sample]);
      for (const { name, source } of sample?.photos ?? []) page.pictures.sources.set(name, source);
    } else if (unfinished) {
      if (open) page.take([await fromFolder(handle)]);
      else offer(origin, page);
    }
  }
}

/** @param {PhotoOrigin} origin @param {Page} page */
function offer({ root: name, handle }, page) {
  words = () =>
    name
      ? t('Reading “{name}” was interrupted. Choose it again to go on: what has been read is kept.', { name })
      : t('Reading photos was interrupted. Choose them again to go on: what has been read is kept.');
  part(box, 'text').textContent = words();
  box.hidden = false;
  part(box, 'go-on').onclick = async () => {
    if (!handle) byRole(name ? 'pick-folder' : 'pick', HTMLInputElement).click();
    else if (await mayRead(handle, 'requestPermission')) page.take([await fromFolder(handle)]);
  };
}

/** The photos are there, or not wanted any more. */
export function forgetOffer() {
  box.hidden = true;
}

onLanguage(() => (part(box, 'text').textContent = words()));

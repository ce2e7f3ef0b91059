/**
 * @file Listens for everything by which photos come: buttons, drops, the clipboard. What they are is intake.js's say.
 */

/** @import { Arrival } from './intake.js' */

import { later } from '../../shared/language.js';
import { byRole, say } from '../../shared/state.js';
import { canPickFolder, fromDrop, fromFiles, pickFolder } from './intake.js';

const INDEX_ENDING = /\.index$/i;

/**
 * @typedef {{
 *   isOpen: () => boolean,
 *   onPhotos: (arrivals: Arrival[]) => void,
 *   onIndex: (file: File) => void,
 *   onExamples: (files: File[]) => void,
 * }} Page `isOpen`: photos may be taken in; `onExamples`: pictures to search with
 */

/** @param {Page} page */
export function onArrivals(page) {
  const pick = (/** @type {string} */ role, /** @type {(files: File[]) => void} */ taken) => {
    const input = byRole(role, HTMLInputElement);
    input.onchange = () => {
      const files = [...(input.files ?? [])];
      input.value = ''; // so that the same choice counts again after a stop
      if (files.length) taken(files);
    };
    if (input.files?.length) input.dispatchEvent(new Event('change')); // chosen before this script was there
    return input;
  };
  pick('pick', (files) => page.onPhotos(fromFiles(files)));
  pick('pick-index', ([file]) => file && page.onIndex(file));
  pick('query-picture', page.onExamples);
  const folder = pick('pick-folder', (files) => page.onPhotos(fromFiles(files)));
  let refused = !canPickFolder();
  folder.onclick = (event) => {
    if (refused || !event.isTrusted) return;
    event.preventDefault();
    pickFolder().then(
      (arrival) => arrival && page.onPhotos([arrival]),
      () => {
        refused = true; // a frame, a policy: the input does the same, and is only not remembered
        setTimeout(() => folder.click()); // not within the click that was refused: browsers drop that one
      },
    );
  };
  listenToDrops(page);
  addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter(({ type }) => type.startsWith('image/'));
    if (!files.length || !page.isOpen()) return;
    event.preventDefault();
    // Into the search field: to be searched with. Anywhere else: into the album.
    if (event.target instanceof HTMLInputElement) page.onExamples(files);
    else page.onPhotos(fromFiles(files));
  });
}

/** The whole page takes drops, so that a photo let go beside the field does not replace the page. @param {Page} page */
function listenToDrops(page) {
  const drop = byRole('drop', HTMLElement);
  addEventListener('dragover', (event) => {
    event.preventDefault();
    drop.toggleAttribute('data-over', page.isOpen());
  });
  addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) drop.removeAttribute('data-over');
  });
  addEventListener('drop', async (event) => {
    event.preventDefault();
    drop.removeAttribute('data-over');
    if (!event.dataTransfer) return;
    if (!page.isOpen()) {
      say(later('Start the page first; then photos can be dropped here.'));
      return;
    }
    const [first] = event.dataTransfer.files;
    const onSearch = event.target instanceof Element && event.target.closest('.asking') !== null;
    const files = [...event.dataTransfer.files];
    if (first && files.length === 1 && INDEX_ENDING.test(first.name)) return page.onIndex(first);
    if (onSearch && files.length && files.every(({ type }) => type.startsWith('image/'))) return page.onExamples(files);
    try {
      page.onPhotos(await fromDrop(event.dataTransfer));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      say(later('What was dropped could not be read ({why}). Use the buttons instead.', { why }));
    }
  });
}

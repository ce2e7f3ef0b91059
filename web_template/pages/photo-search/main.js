/**
 * @file Photo search, page only. Start reading here, and go on in photos.js, which has all that the page does with its
 * model: it is fetched while the model is, so that who opens the page does not wait for it.
 */

/** @import { PhotoCalls } from '../../shared/protocol.js' */

import { later } from '../../shared/language.js';
import { openSession } from '../../shared/session.js';
import { byRole, say } from '../../shared/state.js';
import { deleteAlbums } from './kept.js';

/** @type {Promise<typeof import('./photos.js')> | null} */
let photos = null;

/** Fetch the rest of the page; once more when that failed. */
function openPhotos() {
  photos ??= import('./photos.js').catch((error) => {
    photos = null;
    throw error;
  });
  return photos;
}

const fetchPhotos = () => void openPhotos().catch(() => {}); // whoever needs them is told

/** A photo that is let go over a page which has not started yet must not replace it. @param {DragEvent} event */
function refuseDrop(event) {
  event.preventDefault();
  if (event.type === 'drop') say(later('Start the page first; then photos can be dropped here.'));
}

const early = new AbortController();
for (const type of /** @type {const} */ (['dragover', 'drop'])) addEventListener(type, refuseDrop, { signal: early.signal });
byRole('start', HTMLButtonElement).addEventListener('click', fetchPhotos);

void openSession(/** @type {import('../../shared/session.js').Page<PhotoCalls>} */ ({
  worker: new URL('./worker.js', import.meta.url),
  sources: ({ sample }) => (sample?.album ? ['sample'] : []),
  allowVideoUrl: false,
  worker_asks_server: true,
  later: ({ collection }) => (collection ? ['vision_model'] : []), // its photos have their vectors
  onOffer({ query }) {
    byRole('query', HTMLInputElement).value = query.q ?? '';
    if (query.autostart) fetchPhotos();
  },
  onReady(opened) {
    openPhotos().then(
      ({ attach }) => {
        early.abort();
        attach(opened);
      },
      (error) => opened.fail(error),
    );
  },
  onLost: () => void photos?.then(({ detach }) => detach(), () => {}),
  onDelete: async () => (photos ? (await photos).deleteEverything(false) : deleteAlbums()),
}));

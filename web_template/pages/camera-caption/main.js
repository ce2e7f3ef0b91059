/**
 * @file Camera captions: what stands on the page from its opening to a loaded model. What is done with the model is
 * deeds.js's, which comes along while the model is being downloaded; the model itself lives in worker.js.
 */

/** @import { CaptionCalls } from '../../shared/protocol.js' */
/** @import { Session } from '../../shared/session.js' */

import { later } from '../../shared/language.js';
import { openSession } from '../../shared/session.js';
import { showProblem } from '../../shared/state.js';
import { presetsOf } from './presets.js';
import { params, picker, settings, source } from './stage.js';

/** @type {Promise<typeof import('./deeds.js')> | null} */
let coming = null;
/** @type {typeof import('./deeds.js') | null} */
let deeds = null;
/** The model is loaded. */
let ready = false;

/** Fetch what is needed with a model only. */
const fetchDeeds = () => (coming ??= import('./deeds.js'));

/** @param {Session<CaptionCalls>} session */
async function begin(session) {
  ready = true;
  try {
    deeds ??= await fetchDeeds();
  } catch (error) {
    // Browsers do not ask again for a module that they did not get.
    const words = { title: later('A part of this page is missing'), todo: later('Check the connection and try again.') };
    return showProblem({ ...words, what: String(error), retry: () => location.reload() });
  }
  if (ready) deeds.ready(session);
}

void openSession(/** @type {import('../../shared/session.js').Page<CaptionCalls>} */ ({
  worker: new URL('./worker.js', import.meta.url),
  sources: ({ sample }) => (sample?.video ? ['camera', 'screen', 'sample'] : ['camera', 'screen']),
  allowVideoUrl: true,
  recycle_after: 400,
  onOffer(session) {
    source.fit = session.manifest.image.fit;
    session.query.notices.push(...settings.notices, ...picker.show(session));
    const known = presetsOf(session.manifest).map(({ id }) => id);
    const asked = params.get('prompt');
    if (asked !== null && !known.includes(asked)) {
      const values = { given: `prompt=${asked}`, known: known.join(', ') };
      session.query.notices.push(later('“{given}” was ignored: it is one of {known}.', values));
    }
  },
  onDownloading: () => void fetchDeeds().catch(() => {}), // begin() says so, where it matters
  onReady: (session) => void begin(session),
  onLost() {
    ready = false;
    deeds?.lost();
  },
  onSmaller: () => settings.set('size', '320'),
  onDelete: () => settings.clear(),
}));

/**
 * @file What is said when the page goes on but something did not work, above all an index that cannot be opened.
 */

/** @import { Text } from '../../shared/protocol.js' */
/** @import { Problem } from '../../shared/state.js' */

import { later } from '../../shared/language.js';
import { byRole, showProblem } from '../../shared/state.js';

/** By the code of an IndexError (shared/index-layout.js), whose own message is for those who make indexes. @type {Record<string, Text>} */
const WHY = {
  damaged: later('It is no index of photos, or it is damaged.'),
  version: later('It was made by a newer version of the tool than this page knows.'),
  model: later('It was made with another model: its vectors cannot be compared with those of this page.'),
  network: later('It could not be read to its end.'),
};

/** Show a problem where it is seen, however far down the album the visitor is. @param {Problem} problem */
export function tellProblem(problem) {
  showProblem(problem);
  byRole('error', HTMLElement).scrollIntoView({ block: 'center' });
}

/**
 * Why an index cannot be opened; null for what went wrong elsewhere.
 *
 * @param {unknown} error from the worker
 * @returns {Text | null}
 */
export function whyNoIndex(error) {
  if (!(error instanceof Error) || error.name !== 'IndexError' || !('detail' in error)) return null;
  return WHY[String(error.detail)] ?? error.message;
}

/**
 * @file What stands between opening a page and a loaded model, as elements: what starting costs, the choices where
 * something is missing, the progress, what is stored, what was sent. When it is shown is session.js's business.
 */

/** @import { Capabilities, FileEntry, LoadEvent, PageConfig, Plan, Text } from './protocol.js' */

import { storedBytes } from './keep.js';
import { LANGUAGES, language, later, setLanguage, t } from './language.js';
import { leftBytes, roomWarning, startWords } from './offer.js';
import { byRole, keepFocus, megabytes, part, say } from './state.js';

/** Screen readers hear of a quarter, not of every byte. */
const ANNOUNCE_EVERY = 0.25;
const text = (/** @type {string} */ name) => part(document, name);
const button = (/** @type {string} */ role) => byRole(role, HTMLButtonElement);

/** The language switch in the header. */
export function showLanguages() {
  const choice = byRole('language', HTMLSelectElement);
  choice.replaceChildren(
    ...Object.entries(LANGUAGES).map(([code, name]) => Object.assign(new Option(name, code), { lang: code === 'zh' ? 'zh-CN' : code })),
  );
  choice.value = language();
  choice.onchange = () => void setLanguage(/** @type {import('./language.js').Language} */ (choice.value));
}

/** Inside a page of another site much is refused, and what is stored lies apart: offer the way out. */
export function showFrame() {
  const link = byRole('open-alone', HTMLAnchorElement);
  link.hidden = window.self === window.top;
  link.href = location.href;
}

/**
 * What may be started, and what is to be known before.
 *
 * @typedef {{
 *   reason: Text,
 *   start: Text | null,
 *   note: Text,
 *   smaller: Text | null,
 *   server: PageConfig['server'],
 * }} Offer `reason`: why it is not as it should be; `smaller`: the label of a button for a smaller choice
 */

/** @param {Offer} offer */
export function showOffer({ reason, start, note, smaller, server }) {
  text('reason').textContent = t(reason);
  text('start-note').textContent = t(note);
  button('start').textContent = t(start ?? '');
  button('start').hidden = start === null;
  button('smaller').textContent = t(smaller ?? '');
  button('smaller').hidden = smaller === null;
  text('server').hidden = server === null;
  text('server-words').textContent = server ? t(serverWords(server)) : '';
  text('privacy').hidden = server !== null; // it says that nothing leaves the device
}

/** @param {NonNullable<PageConfig['server']>} server */
const host = ({ url }) => ({ host: new URL(url).host });

/** @param {NonNullable<PageConfig['server']>} server */
export const serverWords = (server) =>
  later('A server can run the model instead: your pictures and what you type will then be sent to {host}, and not before.', host(server));

/** @param {NonNullable<PageConfig['server']>} server */
export const serverReason = (server) =>
  later('Runs on the server that you chose: your pictures and what you type are sent to {host}.', host(server));

/** A server loads nothing here. @returns {null} */
export function showConnecting() {
  byRole('progress', HTMLProgressElement).removeAttribute('value');
  text('progress-text').textContent = '';
  return null;
}

export class Progress {
  #announced = 0;
  #prepared_bytes = 0;
  #waiting = false;

  /** @param {number} total_bytes */
  constructor(total_bytes) {
    this.show({ kind: 'bytes', loaded_bytes: 0, total_bytes, bytes_per_second: 0 });
  }

  /** @param {LoadEvent} event */
  show(event) {
    const bar = byRole('progress', HTMLProgressElement);
    const line = text('progress-text');
    if (event.kind === 'waiting') {
      line.textContent = t('Waiting for the connection. What has arrived is kept.');
      if (!this.#waiting) say(later('The connection is lost: waiting for it.'));
      this.#waiting = true;
      return;
    }
    if (event.kind === 'bytes') {
      if (this.#waiting) say(later('The connection is back: loading goes on.'));
      this.#waiting = false;
      const { loaded_bytes, total_bytes, bytes_per_second } = event;
      this.#prepared_bytes = total_bytes;
      bar.max = total_bytes || 1;
      bar.value = loaded_bytes;
      line.textContent = progressWords(loaded_bytes, total_bytes, bytes_per_second);
      const share = Math.floor(loaded_bytes / (total_bytes || 1) / ANNOUNCE_EVERY) * ANNOUNCE_EVERY;
      if (share > this.#announced && share < 1) say(later('{percent} % of the model is here.', { percent: Math.round(share * 100) }));
      this.#announced = Math.max(share, this.#announced);
    } else if (event.kind === 'phase' && event.phase === 'warm-up') {
      bar.removeAttribute('value');
      line.textContent = t('{size} MB loaded, preparing', { size: megabytes(this.#prepared_bytes) });
      say(later('Preparing the model for its first run…'));
    }
  }
}

/** @param {number} loaded_bytes @param {number} total_bytes @param {number} bytes_per_second */
function progressWords(loaded_bytes, total_bytes, bytes_per_second) {
  const loaded = t('{loaded} of {total} MB', { loaded: megabytes(loaded_bytes), total: megabytes(total_bytes) });
  if (!bytes_per_second || loaded_bytes >= total_bytes) return loaded;
  const left_s = Math.ceil((total_bytes - loaded_bytes) / bytes_per_second);
  const left = left_s < 90 ? t('{count} s left', { count: left_s }) : t('{count} min left', { count: Math.round(left_s / 60) });
  return [loaded, t('{speed} MB/s', { speed: megabytes(bytes_per_second) }), left].join(' · ');
}

let looked = 0;

/**
 * Show how much is stored, with the button that deletes it, and how much starting still downloads.
 *
 * @param {FileEntry[]} files
 * @param {Plan} plan
 * @param {Capabilities} found
 * @param {() => void} onDelete
 */
export async function showStored(files, plan, found, onDelete) {
  const turn = (looked += 1);
  const [bytes, left_bytes] = await Promise.all([storedBytes(files), leftBytes(plan)]);
  const warning = bytes === null ? '' : await roomWarning(left_bytes);
  if (turn !== looked) return; // what is shown now is another plan's
  button('start').textContent = t(startWords(found, plan, left_bytes) ?? '');
  const none = later('Nothing can be stored here: the model is downloaded anew on each visit.');
  const stored = bytes === null ? none : later('{size} MB of the model stored on this device.', { size: megabytes(bytes) });
  byRole('stored', HTMLElement).textContent = [t(bytes === 0 ? '' : stored), t(warning)].filter(Boolean).join(' ');
  keepFocus(() => {
    button('delete-stored').hidden = !bytes;
  });
  button('delete-stored').onclick = onDelete;
}

/** @param {number} bytes @param {boolean} sending */
export function showSent(bytes, sending) {
  if (bytes) text('privacy').hidden = true; // it is no longer true of this visit
  document.documentElement.toggleAttribute('data-server', sending);
  keepFocus(() => {
    button('leave-server').hidden = !sending;
  });
  byRole('sent', HTMLElement).textContent = t('{count} bytes of pictures and words sent', { count: bytes.toLocaleString(document.documentElement.lang) });
}

/**
 * @file Lays what the page can do inside the Hub's frame beside what it can do directly.
 */

/** @import { Answers } from './probe.js' */

const NAMES = {
  camera: 'Camera',
  screen: 'Screen sharing',
  folder: 'Folder picker',
  fullscreen: 'Full screen',
  webgpu: 'WebGPU',
  isolated: 'Threads (cross-origin isolated)',
  cache: 'Model kept in the cache',
  files: 'Files kept by the page',
  quota: 'Room to keep them',
  secure: 'Secure context',
};
const PATIENCE_MS = 8000;

const views = /** @type {Record<'space' | 'direct', HTMLIFrameElement>} */ ({
  space: document.querySelector('[data-role=space]'),
  direct: document.querySelector('[data-role=direct]'),
});
const rows = /** @type {HTMLElement} */ (document.querySelector('[data-role=compare] tbody'));
const missing = /** @type {HTMLElement} */ (document.querySelector('[data-role=missing]'));
/** @type {Partial<Record<'space' | 'direct', Answers>>} */
const heard = {};

addEventListener('message', (event) => {
  const view = event.source === views.space.contentWindow ? 'space' : event.source === views.direct.contentWindow ? 'direct' : null;
  if (view === null || event.data?.preview !== 'probe') return;
  heard[view] = event.data.answers;
  show();
});
setTimeout(() => {
  missing.hidden = heard.space !== undefined;
}, PATIENCE_MS);
// The frames may have spoken before this script was there to listen.
for (const frame of Object.values(views)) frame.contentWindow?.postMessage({ preview: 'ask' }, '*');

function show() {
  if (heard.space) missing.hidden = true;
  rows.replaceChildren(
    ...Object.entries(NAMES).map(([key, name]) => {
      const row = document.createElement('tr');
      const inside = heard.space?.[key] ?? '…';
      const direct = heard.direct?.[key] ?? '…';
      row.dataset.differs = String(Boolean(heard.space && heard.direct) && inside !== direct);
      const head = document.createElement('th');
      head.scope = 'row';
      head.textContent = name;
      row.append(head, ...[inside, direct].map(cell));
      return row;
    }),
  );
}

/** @param {string} text */
function cell(text) {
  const made = document.createElement('td');
  made.textContent = text;
  return made;
}
show();

/**
 * @file Loads the page again when its sources changed, where the visitor was; shows why when they cannot be made.
 */

import { hideProblem, showProblem } from './overlay.js';

const PLACE = 'webgpu-demo-preview-place';
const LONGEST_WAIT_MS = 5000;

/** @param {number} version which version of the sources this page is */
export function followChanges(version) {
  goBack();
  const events = new EventSource('/_preview/events');
  events.addEventListener('hello', (event) => {
    if (JSON.parse(event.data).version === version) hideProblem();
    else loadAgain();
  });
  events.addEventListener('reload', loadAgain);
  events.addEventListener('problem', (event) => showProblem(JSON.parse(event.data)));
  // Else a page that is left keeps its connection until the browser has tidied up, and there are six.
  addEventListener('pagehide', () => events.close());
}

function loadAgain() {
  sessionStorage.setItem(PLACE, JSON.stringify({ path: location.pathname, x: scrollX, y: scrollY }));
  location.reload();
}

/** Scroll to where the page was; it may have to grow that long first. */
function goBack() {
  const kept = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  if (kept === null) return;
  const { path, x, y } = JSON.parse(kept);
  if (path !== location.pathname) return;
  const until = performance.now() + LONGEST_WAIT_MS;
  const growth = new ResizeObserver(() => {
    scrollTo(x, y);
    if (Math.abs(scrollY - y) < 2 || performance.now() > until) growth.disconnect();
  });
  growth.observe(document.documentElement);
}

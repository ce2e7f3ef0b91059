/**
 * @file Notices, on the next visit, that the browser killed this page: phones do so without a word when memory runs out.
 *
 * While a model is in memory and the page can be seen, a mark lies in localStorage; who leaves in an orderly way takes it
 * along. A lock tells a killed page from one that is open in another tab: it goes with its page.
 */

const mark = `webgpu-demo/running ${location.pathname}`;
/** What runs, in short; empty while nothing does. */
let running = '';
/** @type {(() => void) | null} */
let releaseLock = null;

/** @param {string | null} value @returns {string | null} what lay there */
function setMark(value) {
  try {
    const before = localStorage.getItem(mark);
    if (value === null) localStorage.removeItem(mark);
    else localStorage.setItem(mark, value);
    return before;
  } catch {
    return null; // storage is refused here, so a crash will not be noticed
  }
}

/** What ran when the last visit ended in a crash; null when it did not. To be asked once, before `markRunning`. */
export async function lastCrash() {
  const before = setMark(null);
  if (before === null) return null;
  const locks = await navigator.locks?.query().catch(() => null);
  const open = locks?.held?.some(({ name }) => name === mark) ?? false;
  if (open) setMark(before);
  return open ? null : before;
}

/** A model is in memory from now on, or on its way there. @param {string} label says which, in short */
export function markRunning(label) {
  running = label;
  setMark(document.hidden ? null : label);
  if (releaseLock) return;
  const held = () => new Promise((resolve) => (releaseLock = () => resolve(null)));
  void navigator.locks?.request(mark, { mode: 'shared' }, held).catch(() => {}); // not in every frame
}

/** Nothing of a model is in memory any more. */
export function markEnded() {
  running = '';
  setMark(null);
  releaseLock?.();
  releaseLock = null;
}

// What the browser ends while nobody looks at it is no crash to tell of.
document.addEventListener('visibilitychange', () => running && setMark(document.hidden ? null : running));
addEventListener('pagehide', () => running && setMark(null));

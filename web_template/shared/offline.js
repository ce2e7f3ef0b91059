/**
 * @file The page without a network: registers the service worker (sw.js), and changes to a newer version of the site.
 *
 * The address of the worker carries the version of the site, a digest of its files; a new version is a new worker with
 * a new cache. A page changes over only while nothing is loaded and no other tab is open, so that versions never mix.
 */

/** @import { SiteManifest } from './protocol.js' */

const UPDATE_TIMEOUT_MS = 8000;
/** @param {string | undefined} script */
const versionOf = (script) => (script ? new URL(script).searchParams.get('v') : null);

/**
 * Make the page work offline from its next visit on; a page that was served by an older version of itself is loaded again.
 *
 * @param {SiteManifest | null} site null offline, and where it cannot be had: all stays as it is
 * @returns {Promise<boolean>} true: the page is about to be loaded again
 */
export async function openOffline(site) {
  if (!('serviceWorker' in navigator)) return false;
  if (!site?.version) return leaveGhost();
  const served = versionOf(navigator.serviceWorker.controller?.scriptURL);
  try {
    const registration = await navigator.serviceWorker.register(new URL(`sw.js?v=${site.version}`, document.baseURI));
    if (!served || served === site.version) return false;
    const changed = new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', () => resolve(true)));
    const worker = registration.installing ?? registration.waiting;
    const ask = () => worker?.state === 'installed' && worker.postMessage('take-over');
    worker?.addEventListener('statechange', ask);
    ask();
    const late = new Promise((resolve) => setTimeout(resolve, UPDATE_TIMEOUT_MS, false));
    if (!(await Promise.race([changed, late]))) return false;
    location.reload();
    return true;
  } catch {
    return false; // refused here (a frame, a private window), or the new version is not whole yet: go on online
  }
}

/** A page that its host no longer has: sw.js has just signed off, and the next load shows what lies here now. */
async function leaveGhost() {
  const gone = navigator.serviceWorker.controller && !(await navigator.serviceWorker.getRegistration().catch(() => null));
  if (gone) location.reload();
  return Boolean(gone);
}

/** Keep files that are fetched only when they are needed, now that they were. @param {string[]} paths relative to index.html */
export async function keepOffline(paths) {
  const registration = await navigator.serviceWorker?.ready;
  registration?.active?.postMessage({ keep: paths.map((path) => new URL(path, document.baseURI).href) });
}

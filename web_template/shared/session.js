/**
 * @file The way from an opened page to an offered model, the same on every page: check, then offer or load.
 *
 * Start reading at `openSession`. A page hands in its worker and is called back when the model is ready; what it then
 * does with the model is its own business. What becomes of the model is in lifecycle.js.
 */

/** @import { BaseCalls, Call, PageConfig } from './protocol.js' */
/** @import { Bridge } from './bridge.js' */

import { absolute, readConfig, readQuery } from './config.js';
import { inspectDevice } from './device.js';
import { later, openLanguage } from './language.js';
import { showFrame, showLanguages } from './launch.js';
import { Session } from './lifecycle.js';
import { openOffline } from './offline.js';
import { fetchJson, fetchSite } from './problems.js';
import { lastCrash } from './recovery.js';
import { PageError, say, setModelState, setState, showProblem } from './state.js';

export { Session };

/**
 * @template {BaseCalls & { [name in keyof C]: Call }} C
 * @typedef {Bridge<C>['request']} Request
 */
/**
 * @template {BaseCalls & { [name in keyof C]: Call }} C
 * @typedef {{
 *   worker: URL,
 *   sources: (config: PageConfig) => string[],
 *   allowVideoUrl: boolean,
 *   worker_asks_server?: boolean, later?: (config: PageConfig) => string[],
 *   recycle_after?: number,
 *   onDownloading?: () => void,
 *   onOffer: (session: Session<C>) => void,
 *   onReady: (session: Session<C>) => void,
 *   onLost: () => void,
 *   onRecycled?: (request: Request<C>) => Promise<void> | void,
 *   onSmaller?: () => void,
 *   onDelete?: () => Promise<void> | void,
 * }} Page see “A new page” in README.md
 */

/**
 * Check the device, offer the download (or start it with `?autostart=1`), and load.
 *
 * @template {BaseCalls & { [name in keyof C]: Call }} C
 * @param {Page<C>} page
 */
export async function openSession(page) {
  setState('checking');
  setModelState('none');
  try {
    await openLanguage(new URL('./zh.js', page.worker));
    showLanguages();
    showFrame();
    say(later('Checking what this device can do…'));
    const config = readConfig();
    const known = { sources: page.sources(config), allowVideoUrl: page.allowVideoUrl, hasServer: config.server !== null };
    const query = readQuery(location.search, known);
    const site = await fetchSite();
    if (await openOffline(site)) return;
    const [found, whole, crashed] = await Promise.all([
      inspectDevice(query.device !== 'wasm' && query.device !== 'server'),
      fetchJson(absolute(config.model.manifest), later('the description of the model')),
      lastCrash(),
    ]);
    const session = new Session(page, { config, query, manifest: { ...whole, later: page.later?.(config) }, found, site, crashed });
    page.onOffer(session);
    if (query.autostart && query.device !== 'server' && found.wasm && !crashed && !session.tight) await session.load();
    else session.offer();
  } catch (error) {
    const words = error instanceof PageError ? error : null;
    showProblem({
      title: words?.title ?? later('This page could not start'),
      what: words?.what ?? (error instanceof Error ? error.message : String(error)),
      todo: words?.todo ?? later('Reload the page. If it stays like this, the site has to be built again.'),
      retry: () => void openSession(page),
    });
  }
}

/**
 * @file What a page is told: the config that the builder put into it, and the query parameters of its address.
 */

/** @import { PageConfig, Query, Text } from './protocol.js' */

import { LANGUAGES, later } from './language.js';

/**
 * Read the page config.
 *
 * @returns {PageConfig}
 * @throws {Error} when the page carries none: it was not made by `webgpu-demo build`
 */
export function readConfig() {
  const text = document.getElementById('page-config')?.textContent;
  if (!text) throw new Error('This page carries no page config. Build it again with "webgpu-demo build".');
  return JSON.parse(text);
}

/**
 * Make an address of the config absolute. Workers resolve addresses against their own file, so they only get these.
 *
 * @param {string} path relative to index.html, or already absolute
 */
export const absolute = (path) => new URL(path, document.baseURI).href;

/** The model's own folder, which an absolute `root` already is. @param {PageConfig} config */
export function modelFolder({ model }) {
  return URL.canParse(model.root) ? model.root : absolute(`${model.root}${model.name}/`);
}

/**
 * Read the query parameters of the page contract. A value that is not understood is left out, with a notice.
 *
 * @param {string} search e.g. `location.search`
 * @param {{ sources: string[], allowVideoUrl: boolean, hasServer: boolean }} page the sources that this page knows
 * @returns {Query}
 */
export function readQuery(search, { sources, allowVideoUrl, hasServer }) {
  const params = new URLSearchParams(search);
  /** @type {Text[]} */
  const notices = [];
  const given = (/** @type {string} */ name, /** @type {string} */ value) => `${name}=${value}`;

  const device = params.get('device');
  const known = device === 'webgpu' || device === 'wasm' || (device === 'server' && hasServer);
  if (device === 'server' && !hasServer) notices.push(later('There is no server behind this page, so “device=server” was ignored.'));
  else if (device !== null && !known) notices.push(later('“{given}” was ignored: it is webgpu or wasm.', { given: given('device', device) }));

  let source = params.get('source');
  if (source !== null && !sources.includes(source) && !(allowVideoUrl && isOnThisOrigin(source))) {
    const values = { given: given('source', source), sources: sources.join(', ') };
    if (!sources.length) notices.push(later('“{given}” was ignored: this page has no sample.', values));
    else if (allowVideoUrl) notices.push(later('“{given}” was ignored: it is one of {sources}, or the address of a video on this site.', values));
    else notices.push(later('“{given}” was ignored: it is one of {sources}.', values));
    source = null;
  }

  const autostart = params.get('autostart');
  if (autostart !== null && autostart !== '0' && autostart !== '1') {
    notices.push(later('“{given}” was ignored: it is 1.', { given: given('autostart', autostart) }));
  }

  const lang = params.get('lang');
  if (lang !== null && !((lang.toLowerCase().split('-')[0] ?? '') in LANGUAGES)) {
    notices.push(later('“{given}” was ignored: it is one of {known}.', { given: given('lang', lang), known: Object.keys(LANGUAGES).join(', ') }));
  }

  return {
    device: known ? device : null,
    dtype: params.get('dtype'), // checked against the manifest, which knows the dtypes
    source,
    autostart: autostart === '1',
    q: params.get('q')?.trim() || null,
    notices,
  };
}

/** @param {string} source a path or an address, not a bare word such as “screen” */
function isOnThisOrigin(source) {
  if (!/[./]/.test(source)) return false;
  return URL.canParse(source, document.baseURI) && new URL(source, document.baseURI).origin === location.origin;
}

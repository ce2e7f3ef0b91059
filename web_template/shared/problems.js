/**
 * @file Failures of fetching and of the worker, put into words for the visitor.
 */

/** @import { DownloadProblem, Manifest, SiteManifest, Text } from './protocol.js' */

import { WorkerError } from './bridge.js';
import { absolute } from './config.js';
import { later } from './language.js';
import { PageError } from './state.js';

/** A file could not be had, which is no fault of the device. @param {unknown} error */
export const isMissing = (error) => error instanceof WorkerError && error.name === 'DownloadError';

/** @param {unknown} error @returns {Text} */
export function describeFailure(error) {
  if (!(error instanceof Error)) return String(error);
  if (/^Server[A-Z]/.test(error.name) && 'detail' in error) return /** @type {Text} */ (error.detail); // server.js, here or in a worker
  if (!(error instanceof WorkerError)) return shorten(error.message);
  if (error.name === 'DataCloneError') return later('A message of the worker could not be read.');
  if (error.name === 'RuntimeStopped') return later('The model runtime stopped with code {code}, probably for lack of memory.', { code: Number(error.detail) });
  if (error.name === 'WorkerDied') return later('The browser ended the part of the page that runs the model, probably for lack of memory.');
  if (error.name === 'device-lost') return later('The graphics processor was taken away ({why})', { why: shorten(error.message) });
  if (!isMissing(error)) return shorten(error.message);
  if (!error.detail) return later('The part of the page that runs the model could not be downloaded.');
  const { path, problem, status } = /** @type {DownloadProblem} */ (error.detail);
  const values = { path, status: status ?? 0 };
  if (problem === 'damaged') return later('{path} arrived damaged, twice: its checksum is not the one that this page was built with.', values);
  if (problem === 'page') return later('{path} could not be downloaded: the server answered with a web page in its place.', values);
  if (problem === 'refused') return later('{path} could not be downloaded: the server answered {status}.', values);
  return later('{path} could not be downloaded: the connection failed again and again.', values);
}

/**
 * The model does not run, and no other way was taken by itself.
 *
 * @param {unknown} error
 * @param {{ was_loaded: boolean, server: boolean }} standing
 * @returns {{ title: Text, what: Text, todo: Text }}
 */
export function breakdown(error, { was_loaded, server }) {
  const what = describeFailure(error);
  if (server) return { title: later('No answer from the server'), what, todo: later('Try again in a while, or let the model run on this device.') };
  const title = was_loaded ? later('The model stopped working') : later('The model could not be loaded');
  if (isMissing(error)) return { title, what, todo: later('Check the connection and try again. What has arrived is kept.') };
  return { title, what, todo: later('Close other tabs if memory is short, and try again.') };
}

/** The first line of a message, short enough for a sentence. @param {string} text */
function shorten(text) {
  const line = text.split('\n')[0] ?? '';
  return line.length > 160 ? `${line.slice(0, 157)}…` : line;
}

/** @returns {Promise<SiteManifest | null>} null when it cannot be had: only sizes and offline use depend on it */
export async function fetchSite() {
  const response = await fetch(absolute('manifest.json')).catch(() => null);
  return response?.ok ? response.json().catch(() => null) : null;
}

/** @param {string} url @param {Text} name @returns {Promise<Manifest>} */
export async function fetchJson(url, name) {
  const title = later('A part of this page is missing');
  const todo = later('Check the connection and try again.');
  const failed = (/** @type {Text} */ what, /** @type {unknown} */ cause) => new PageError({ title, what, todo }, cause);
  const response = await fetch(url).catch((error) => {
    throw failed(later('{name} could not be read: the connection failed.', { name }), error);
  });
  if (!response.ok) throw failed(later('{name} could not be read: the server answered {status} for {url}.', { name, status: response.status, url }), null);
  return response.json().catch((error) => {
    throw failed(later('{name} could not be read: it is not valid JSON.', { name }), error);
  });
}

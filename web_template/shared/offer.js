/**
 * @file What a visitor is told and offered before a model is loaded, from what is known: size, speed, memory, room, and
 * the choices where WebGPU is missing or the last visit ended in a crash. launch.js shows it.
 */

/** @import { Capabilities, PageConfig, Plan, Query, Text } from './protocol.js' */
/** @import { Offer } from './launch.js' */

import { absolute } from './config.js';
import { expectedSpeed, memoryWarning, planBytes, planLabel } from './device.js';
import { keptFiles } from './job.js';
import { storedBytes } from './keep.js';
import { later, t } from './language.js';
import { megabytes } from './state.js';

/** Less is not worth a word: it would be 0.0 MB. */
const NOTHING_BYTES = 50_000;

/**
 * @param {{
 *   config: PageConfig, plan: Plan, query: Query, found: Capabilities,
 *   crashed: string | null, smaller: Plan | null, server: boolean,
 * }} facts `crashed`: what ran when the last visit ended; `smaller`: what would take less; `server`: it is in use
 * @returns {Offer}
 */
export function makeOffer({ config, plan, query, found, crashed, smaller, server }) {
  const missing = plan.webgpu_missing;
  /** @type {Text} */
  let reason = '';
  if (!found.wasm) {
    reason = later('This browser forbids WebAssembly, without which no model runs in it. Allow it for this page, or open the page in another browser.');
  } else if (crashed) {
    reason = later('The last visit ended without a word while {label} ran: the browser probably ran out of memory.', { label: crashed });
  } else if (missing) {
    reason = later('This page is made for WebGPU, and it cannot be used here: {missing}.', { missing });
  }
  const notes = [plan.device === 'wasm' ? expectedSpeed(plan) : '', memoryWarning(found, plan)];
  return {
    reason,
    start: startWords(found, plan, planBytes(plan)),
    note: found.wasm ? notes.map((note) => t(note)).join(' ').trim() : '',
    smaller: found.wasm && smaller ? later('Start with less memory: {label}, {size} MB', { label: planLabel(smaller), size: megabytes(planBytes(smaller)) }) : null,
    server: server || !found.wasm || missing || crashed || query.device === 'server' ? config.server : null,
  };
}

/**
 * What the button says; null: nothing can be started here.
 *
 * @param {Capabilities} found @param {Plan} plan @param {number} left_bytes see `leftBytes`
 * @returns {Text | null}
 */
export function startWords(found, plan, left_bytes) {
  if (!found.wasm) return null;
  const size = { size: megabytes(left_bytes) };
  if (left_bytes < NOTHING_BYTES) return plan.webgpu_missing ? later('Use the processor and start') : later('Start');
  return plan.webgpu_missing ? later('Use the processor: download {size} MB and start', size) : later('Download {size} MB and start', size);
}

/** How much starting still downloads: keep.js has the model and the WebAssembly, sw.js the scripts. @param {Plan} plan */
export async function leftBytes(plan) {
  const kept = keptFiles(plan);
  const isHere = async (/** @type {string} */ path) => (await globalThis.caches?.match(absolute(path)).catch(() => null)) ?? null;
  const scripts = plan.runtime_files.filter((file) => !kept.includes(file)).map(async ({ path, size_bytes }) => ((await isHere(path)) ? 0 : size_bytes));
  const stored = (await storedBytes(kept)) ?? 0;
  const missing = kept.reduce((sum, { size_bytes }) => sum + size_bytes, -stored);
  return (await Promise.all(scripts)).reduce((sum, bytes) => sum + bytes, Math.max(0, missing));
}

/** Says when the browser leaves too little room. @param {number} needed_bytes @returns {Promise<Text>} */
export async function roomWarning(needed_bytes) {
  const room = await navigator.storage?.estimate?.().catch(() => null);
  const free = room?.quota === undefined ? Infinity : room.quota - (room.usage ?? 0);
  if (free >= needed_bytes) return '';
  const values = { free: megabytes(free), needed: megabytes(needed_bytes) };
  return later('This browser leaves this page {free} MB, and {needed} MB are needed: what does not fit is downloaded anew on each visit.', values);
}

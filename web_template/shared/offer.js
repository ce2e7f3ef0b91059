/**
 * @file What a visitor is told and offered before a model is loaded, from what is known: size, speed, memory, room, and
 * the choices where WebGPU is missing or the last visit ended in a crash. launch.js shows it.
 */

/** @import { Capabilities, PageConfig, Plan, Query, Text } from './protocol.js' */
/** @import { Offer } from './launch.js' */

import { expectedSpeed, memoryWarning, planBytes, planLabel } from './device.js';
import { later, t } from './language.js';
import { megabytes } from './state.js';

/**
 * @param {{
 *   config: PageConfig, plan: Plan, query: Query, found: Capabilities,
 *   crashed: string | null, smaller: Plan | null, server: boolean,
 * }} facts `crashed`: what ran when the last visit ended; `smaller`: what would take less; `server`: it is in use
 * @returns {Offer}
 */
export function makeOffer({ config, plan, query, found, crashed, smaller, server }) {
  const size = { size: megabytes(planBytes(plan)) };
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
    start: !found.wasm ? null : missing ? later('Use the processor: download {size} MB and start', size) : later('Download {size} MB and start', size),
    note: found.wasm ? notes.map((note) => t(note)).join(' ').trim() : '',
    smaller: found.wasm && smaller ? later('Start with less memory: {label}, {size} MB', { label: planLabel(smaller), size: megabytes(planBytes(smaller)) }) : null,
    server: server || !found.wasm || missing || crashed || query.device === 'server' ? config.server : null,
  };
}

/** Says when the browser leaves too little room. @param {number} needed_bytes @returns {Promise<Text>} */
export async function roomWarning(needed_bytes) {
  const room = await navigator.storage?.estimate?.().catch(() => null);
  const free = room?.quota === undefined ? Infinity : room.quota - (room.usage ?? 0);
  if (free >= needed_bytes) return '';
  const values = { free: megabytes(free), needed: megabytes(needed_bytes) };
  return later('This browser leaves this page {free} MB, and {needed} MB are needed: what does not fit is downloaded anew on each visit.', values);
}

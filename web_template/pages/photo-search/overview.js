/**
 * @file Worker only: what an album consists of, and which of its photos pass the filters.
 */

/** @import { AlbumIndex } from '../../shared/index-file.js' */
/** @import { AlbumFacts, PhotoFilter } from '../../shared/protocol.js' */

/** Folders offered for filtering; an album with more has its deepest ones left out. */
const MOST_FOLDERS = 300;

/** @param {import('./album.js').Album} album @returns {AlbumFacts} */
export function describeAlbum({ index, twins, unsaved }) {
  /** @type {Map<string, number>} */
  const folders = new Map();
  let [first, last] = [Infinity, -Infinity];
  for (let row = 0; row < index.count; row++) {
    if (!index.isAlive(row)) continue;
    const date = index.date(row);
    if (!Number.isNaN(date)) [first, last] = [Math.min(first, date), Math.max(last, date)];
    const name = index.name(row);
    for (let slash = name.indexOf('/'); slash > 0; slash = name.indexOf('/', slash + 1)) {
      const folder = name.slice(0, slash);
      folders.set(folder, (folders.get(folder) ?? 0) + 1);
    }
  }
  const depth = (/** @type {string} */ path) => path.split('/').length;
  const listed = [...folders].sort(([a], [b]) => depth(a) - depth(b)).slice(0, MOST_FOLDERS).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    photos: index.alive,
    folded: twins.folded,
    first: Number.isFinite(first) ? first : null,
    last: Number.isFinite(last) ? last : null,
    folders: listed.map(([path, photos]) => ({ path, photos })),
    unsaved,
  };
}

/**
 * The rows that may be shown, by row: 1 or 0. Of photos that show the same one is left, the first of those that pass.
 *
 * @param {{ index: AlbumIndex, twins: import('./duplicates.js').Duplicates }} album
 * @param {PhotoFilter} filter
 * @param {ReadonlySet<number> | null} tagged rows of the filter's tag; null without one
 * @returns {Uint8Array<ArrayBuffer>} the caller may change it
 */
export function allowedRows({ index, twins }, { from, to, folder, fold }, tagged) {
  const allowed = index.living.slice();
  if (from !== null || to !== null) {
    const [least, most, { dates }] = [from ?? -Infinity, to ?? Infinity, index];
    // NaN where it is unknown: such photos pass no filter of dates.
    for (let row = 0; row < allowed.length; row++) {
      const date = /** @type {number} */ (dates[row]);
      if (!(date >= least && date <= most)) allowed[row] = 0;
    }
  }
  if (folder) for (let row = 0; row < allowed.length; row++) if (allowed[row] && !index.name(row).startsWith(`${folder}/`)) allowed[row] = 0;
  if (tagged) for (let row = 0; row < allowed.length; row++) if (!tagged.has(row)) allowed[row] = 0;
  if (fold) twins.fold(allowed);
  return allowed;
}

/** Allowed rows, newest first; those without a date come last. @param {AlbumIndex} index @param {Uint8Array} allowed */
export function newestFirst({ dates }, allowed) {
  const rows = new Uint32Array(allowed.reduce((sum, one) => sum + one, 0));
  let at = 0;
  for (let row = 0; row < allowed.length; row++) if (allowed[row]) rows[at++] = row;
  const date = (/** @type {number} */ row) => dates[row] || 0; // NaN: unknown
  return rows.sort((a, b) => date(b) - date(a) || a - b);
}

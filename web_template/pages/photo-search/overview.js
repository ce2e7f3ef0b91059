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
 * @param {AlbumIndex} index @param {number} row @param {PhotoFilter} filter
 */
export function isAllowed(index, row, { from, to, folder }) {
  const date = index.date(row); // NaN where it is unknown: such photos pass no filter of dates
  if ((from !== null && !(date >= from)) || (to !== null && !(date <= to))) return false;
  return folder === '' || index.name(row).startsWith(`${folder}/`);
}

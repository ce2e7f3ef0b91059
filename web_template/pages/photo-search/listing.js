/**
 * @file Worker only: what is new, changed or gone in a folder that was chosen, against what the album holds.
 *
 * A file is the one we know when path, size and time of change are the same. Nothing is opened for this.
 */

/** @typedef {{ name: string, size: number, modified: number }} Listed `modified`: whole seconds since 1970 */
/** @typedef {{ fresh: { at: number, name: string }[], known: { at: number, name: string, row: number }[], gone: number[] }} Comparison `at`: place in the listing; `name`: the one that the photo has in the album */

/** @param {Listed} file */
export const keyOf = ({ name, size, modified }) => `${name}|${size}|${modified}`;

/** A folder of which this share of names is known is the same folder, even if every file was touched. */
const SAME_NAMES = 0.5;
/** More folders of one name than this are not told apart. */
const MOST_NAMESAKES = 50;

/**
 * Compare a listing with the album.
 *
 * @param {Listed[]} listing names start with `root/` when there is a root
 * @param {string} root name of the folder that was chosen; empty for single files
 * @param {boolean} complete the whole folder was listed: what is not in it any more is gone
 * @param {Map<string, number>} rows key → row of every living photo
 * @returns {Comparison}
 */
export function compare(listing, root, complete, rows) {
  const names = new Set([...rows.keys()].map((key) => key.slice(0, key.lastIndexOf('|', key.lastIndexOf('|') - 1))));
  const prefix = root ? prefixOf(listing, root, rows, names) : '';
  const rename = (/** @type {string} */ name) => (root ? prefix + name.slice(root.length + 1) : name);
  /** @type {Comparison} */
  const found = { fresh: [], known: [], gone: [] };
  const seen = new Set();
  listing.forEach((file, at) => {
    const name = rename(file.name);
    const key = keyOf({ ...file, name });
    if (seen.has(key)) return; // the same file, chosen twice
    seen.add(key);
    const row = rows.get(key);
    if (row === undefined) found.fresh.push({ at, name });
    else found.known.push({ at, name, row });
  });
  if (prefix && complete) {
    for (const [key, row] of rows) if (key.startsWith(prefix) && !seen.has(key)) found.gone.push(row);
  } else if (root) {
    // Part of a folder, or an album that was indexed elsewhere: only what was replaced is gone.
    const replaced = new Set(found.fresh.map(({ name }) => name));
    for (const [key, row] of rows) {
      if (replaced.has(key.slice(0, key.lastIndexOf('|', key.lastIndexOf('|') - 1)))) found.gone.push(row);
    }
  }
  return found;
}

/**
 * Under which prefix a folder lies in the album: its own name, that of a namesake (`DCIM (2)/`), or none for an index
 * that was made elsewhere, whose names begin below the folder.
 *
 * @param {Listed[]} listing @param {string} root @param {Map<string, number>} rows @param {Set<string>} names
 */
function prefixOf(listing, root, rows, names) {
  let free = '';
  for (let n = 1; n < MOST_NAMESAKES; n++) {
    const prefix = n === 1 ? `${root}/` : `${root} (${n})/`;
    if (![...names].some((name) => name.startsWith(prefix))) {
      free ||= prefix;
      break;
    }
    if (isSame(listing, root, prefix, rows, names)) return prefix;
  }
  return isSame(listing, root, '', rows, names) ? '' : free || `${root}/`;
}

/** @param {Listed[]} listing @param {string} root @param {string} prefix @param {Map<string, number>} rows @param {Set<string>} names */
function isSame(listing, root, prefix, rows, names) {
  let namesakes = 0;
  for (const file of listing) {
    const name = prefix + file.name.slice(root.length + 1);
    if (rows.has(keyOf({ ...file, name }))) return true;
    if (names.has(name)) namesakes += 1;
  }
  return namesakes > 0 && namesakes >= listing.length * SAME_NAMES;
}

/**
 * @file Where Cache Storage is refused: the same pieces as files of the origin's private folder (OPFS). Fetched only then.
 */

/** @import { Store } from './keep.js' */

/** Slashes make folders there. @param {string} name */
const fileName = (name) => name.replaceAll('/', '+');

/**
 * Open the folder.
 *
 * @param {string} name
 * @returns {Promise<Store>} `write` works in workers only: Safari before 26 writes nowhere else
 * @throws {DOMException} refused as well
 */
export async function openFolder(name) {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle(name, { create: true });
  return {
    async names() {
      const names = [];
      for await (const file of folder.keys()) names.push(file.replaceAll('+', '/'));
      return names;
    },
    async read(piece) {
      const handle = await folder.getFileHandle(fileName(piece)).catch(unlessMissing);
      return handle && (await handle.getFile()).arrayBuffer();
    },
    async write(piece, bytes) {
      // Under another name until it is whole: the page may be closed in the middle of it.
      const handle = /** @type {any} */ (await folder.getFileHandle(`${fileName(piece)}~`, { create: true }));
      const access = await handle.createSyncAccessHandle();
      try {
        access.truncate(0);
        if (access.write(bytes) !== bytes.byteLength) throw new DOMException('The piece was not written whole.', 'QuotaExceededError');
      } finally {
        access.close();
      }
      await handle.move(fileName(piece));
    },
    remove: (piece) => folder.removeEntry(fileName(piece)).catch(unlessMissing),
  };
}

/** @param {unknown} error @returns {null} it was not there */
function unlessMissing(error) {
  if (error instanceof DOMException && error.name === 'NotFoundError') return null;
  throw error;
}

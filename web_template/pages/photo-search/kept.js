/**
 * @file Name and end of the database in which albums stay between visits; store.js, in the worker, fills it.
 */

export const DATABASE = 'webgpu-demo/photos';

/** Delete the albums of every model on this origin. */
export function deleteAlbums() {
  /** @type {Promise<void>} */
  const deleted = new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(DATABASE);
    request.onsuccess = () => resolve();
    request.onerror = () => reject(request.error);
  });
  return deleted;
}

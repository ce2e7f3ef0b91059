/**
 * @file Where downloaded model files stay between visits: one Cache Storage cache for each version of a model.
 *
 * transformers.js keys its cache by address. A site that is built again has the same addresses with other files behind
 * them, and would go on with the old ones, so the name of the cache holds a digest of the manifest.
 */

/** @import { Manifest } from './protocol.js' */

const PREFIX = 'webgpu-demo';

/**
 * Open the cache of exactly this model, and drop those of its earlier versions.
 *
 * @param {Manifest} manifest
 * @returns {Promise<Cache | null>} null where the browser has no Cache Storage (plain http, some private windows)
 */
export async function openModelCache(manifest) {
  if (!('caches' in globalThis) || !globalThis.crypto?.subtle) return null;
  const files = [...manifest.files, ...Object.values(manifest.components).flatMap((dtypes) => Object.values(dtypes))];
  const bytes = new TextEncoder().encode(files.map(({ path, sha256 }) => `${path} ${sha256}`).join('\n'));
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const hex = [...digest.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const name = `${PREFIX}/${manifest.name}/${hex}`;
  try {
    const old = (await caches.keys()).filter((key) => key.startsWith(`${PREFIX}/${manifest.name}/`) && key !== name);
    await Promise.all(old.map((key) => caches.delete(key)));
    return await caches.open(name);
  } catch {
    return null; // storage is switched off here; the browser's HTTP cache still helps
  }
}

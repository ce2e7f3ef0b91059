/**
 * @file Takes from a page or a worker what the visitor of a mode does not have.
 */

/**
 * @param {string | null} modes the words of the address, such as "no-webgpu,offline"
 */
export function takeAway(modes) {
  const words = modes?.split(',') ?? [];
  const own = Object.getPrototypeOf(navigator);
  // Deleted, not set to undefined: a browser without WebGPU has no such property.
  if (words.includes('no-webgpu')) delete own.gpu;
  if (words.includes('offline')) Object.defineProperty(own, 'onLine', { get: () => false, configurable: true });
}

/**
 * @file Tells the page that frames this one what it can do in there, so that both views can be laid side by side.
 */

/** @typedef {Record<string, string>} Answers what was tried → how it went */

/** Try everything that a frame may be refused, and send the outcome to the parent. */
export async function answerFrame() {
  /** @type {Answers} */
  const answers = {
    secure: isSecureContext ? 'yes' : 'no: no camera, no WebGPU',
    isolated: crossOriginIsolated ? 'yes' : 'no: WebAssembly has one thread',
    camera: policyAllows('camera'),
    fullscreen: policyAllows('fullscreen'),
    screen: policyAllows('display-capture'),
    folder: folderPicker(),
    webgpu: await webgpu(),
    cache: await attempt(async () => {
      await caches.open('webgpu-demo-preview-probe');
      await caches.delete('webgpu-demo-preview-probe');
      return 'works';
    }),
    files: await attempt(async () => {
      await navigator.storage.getDirectory();
      return 'works';
    }),
    quota: await attempt(async () => {
      const { quota } = await navigator.storage.estimate();
      return quota === undefined ? 'unknown' : `${(quota / 1e9).toFixed(1)} GB`;
    }),
  };
  const say = () => parent.postMessage({ preview: 'probe', answers }, '*'); // nothing in it is a secret
  say();
  addEventListener('message', (event) => {
    if (event.source === parent && event.data?.preview === 'ask') say();
  });
}

/**
 * @param {() => Promise<string>} step
 * @returns {Promise<string>}
 */
async function attempt(step) {
  try {
    return await step();
  } catch (error) {
    return `refused: ${error instanceof Error ? error.name : error}`;
  }
}

/** @param {string} feature */
function policyAllows(feature) {
  const policy = /** @type {{ featurePolicy?: { allowsFeature(name: string): boolean } }} */ (document).featurePolicy;
  if (!policy) return 'this browser does not say';
  return policy.allowsFeature(feature) ? 'allowed' : 'refused by the frame';
}

function folderPicker() {
  if (!('showDirectoryPicker' in window)) return 'not in this browser';
  let ancestor = window;
  try {
    while (ancestor !== ancestor.parent) {
      ancestor = /** @type {typeof ancestor} */ (ancestor.parent);
      void ancestor.document; // throws where that page is of another origin
    }
  } catch {
    return 'refused in a frame of another site';
  }
  return 'allowed';
}

async function webgpu() {
  if (!navigator.gpu) return 'none';
  return attempt(async () => {
    const adapter = await navigator.gpu.requestAdapter();
    if (adapter === null) return 'no adapter';
    return adapter.features.has('shader-f16') ? 'with 16-bit floats' : 'without 16-bit floats';
  });
}

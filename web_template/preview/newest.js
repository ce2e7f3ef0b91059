/**
 * @file Keeps the page's service worker off in the preview, so that what is shown is what lies in the folder.
 *
 * The view as published, below /_preview/as/space/, has it on.
 */

const ONCE = 'webgpu-demo-preview-newest';

/** Refuse a new service worker, and be rid of one that an earlier visit to this port has left. */
export function refuseServiceWorker() {
  const container = navigator.serviceWorker;
  if (!container) return;
  container.register = () => Promise.reject(new DOMException('The preview has service workers off.', 'NotSupportedError'));
  if (container.controller) void leave(container);
  else sessionStorage.removeItem(ONCE);
}

/** @param {ServiceWorkerContainer} container */
async function leave(container) {
  await (await container.getRegistration())?.unregister();
  if (sessionStorage.getItem(ONCE) !== null) return; // it is still there after one reload: another tab holds it
  sessionStorage.setItem(ONCE, '1');
  location.reload();
}

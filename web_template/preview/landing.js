/**
 * @file The landing page's moving parts: what this browser can do, the headers that really come, the counter.
 */

const EVERY_MS = 2000;
const SHOWN = ['cross-origin-embedder-policy', 'cross-origin-opener-policy', 'cross-origin-resource-policy', 'x-content-type-options', 'cache-control', 'content-security-policy'];

/** @param {string} role */
const find = (role) => /** @type {HTMLElement} */ (document.querySelector(`[data-role=${role}]`));

/**
 * @param {boolean} ok
 * @param {string} name
 * @param {string} why what is lost, where it is not ok
 */
function check(ok, name, why) {
  const item = document.createElement('li');
  item.dataset.ok = String(ok);
  item.append(Object.assign(document.createElement('strong'), { textContent: name }));
  if (!ok) item.append(Object.assign(document.createElement('span'), { textContent: why }));
  return item;
}

async function lookAtBrowser() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const f16 = adapter?.features.has('shader-f16') ?? false;
  const software = adapter?.info.isFallbackAdapter ?? false;
  find('browser').replaceChildren(
    check(isSecureContext, 'Secure context', 'Without one there is no camera and no WebGPU. Open http://127.0.0.1 on this machine, or https.'),
    check(crossOriginIsolated, 'Cross-origin isolated', 'WebAssembly has one thread.'),
    check(Boolean(adapter) && !software, 'WebGPU', software ? 'Only a software imitation of it; pages run on WASM instead.' : 'No adapter, so pages run on WASM. In Chrome, see chrome://gpu.'),
    check(f16, '16-bit floats (shader-f16)', 'Pages take the larger files, for WebGPU without them or for WASM.'),
    check(Boolean(navigator.mediaDevices), 'Camera', 'It needs a secure context.'),
  );
}

async function showHeaders() {
  const answer = await fetch('/', { method: 'HEAD', cache: 'no-store' });
  find('headers').replaceChildren(
    ...SHOWN.map((name) => {
      const row = document.createElement('div');
      row.append(
        Object.assign(document.createElement('dt'), { textContent: name }),
        Object.assign(document.createElement('dd'), { textContent: answer.headers.get(name) ?? 'not sent' }),
      );
      return row;
    }),
  );
}

async function count() {
  const state = await (await fetch('/_preview/count.json', { cache: 'no-store' })).json();
  find('summary').textContent = state.summary;
  find('summary').dataset.ok = String(Object.keys(state.outside).length === 0);
  find('outside').replaceChildren(
    ...Object.entries({ ...state.outside, ...state.refused }).map(([address, times]) =>
      Object.assign(document.createElement('li'), { textContent: `${times} × ${address}${address in state.refused ? ' (refused)' : ''}` }),
    ),
  );
}

void lookAtBrowser();
void showHeaders();
setInterval(() => {
  // Once the server has been stopped, the last count stays.
  if (!document.hidden) count().catch(() => {});
}, EVERY_MS);
void count();

/**
 * @file Service worker of a site: serves the page from a cache, so that it opens without a network.
 *
 * One cache for each version of the site, filled from the site's manifest.json and checked against it, whole or not at
 * all; the caches of other versions go when this one takes over. What weighs much and is not always needed (the runtime's
 * scripts, the sample) is taken in when it is first asked for. The model and the WebAssembly are none of its business:
 * shared/keep.js keeps them.
 */

const scope = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const version = new URL(scope.location.href).searchParams.get('v') ?? '';
const root = new URL('./', scope.location.href).href;
const prefix = `webgpu-demo-site ${new URL(root).pathname} `;
const cacheName = prefix + version;
const SITE = 'manifest.json';
const NETWORK_TIMEOUT_MS = 4000;

/** @typedef {{ version: string, files: { path: string, sha256: string, size_bytes: number }[] }} Site */

/** Needed to open the page. @param {string} path */
const isPage = (path) => path === 'index.html' || path === 'app.webmanifest' || /^(app|icons)\//.test(path) || /^models\/[^/]+\/(manifest|sentences)\.json$/.test(path);
/** Taken in when first asked for. @param {string} path */
const isExtra = (path) => /^runtime\/[^/]+\.m?js$/.test(path) || /^sample\//.test(path);
/** The index of a published collection: read by ranges, and kept as a whole when the page asks for it. @param {string} path */
const isCollection = (path) => /^collection\//.test(path);
/** A larger one stays where it is: nobody expects a visit to a museum to fill the phone. */
const MOST_COLLECTION_BYTES = 64e6;

/** The path of an address in this site; '' for the page itself becomes index.html. @param {string} url */
function pathOf(url) {
  const clean = url.split(/[?#]/)[0] ?? '';
  return clean.startsWith(root) ? clean.slice(root.length) || 'index.html' : null;
}

/** @param {Response} response @param {string} sha256 */
async function isRight(response, sha256) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await response.clone().arrayBuffer()));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('') === sha256;
}

/** What is kept of this version; it asks without opening, because opening makes a cache. @param {string} path */
const find = (path) => caches.match(root + path, { cacheName });

/**
 * Caches are made and dropped one after the other, also by a worker that has just been replaced: opening one makes it
 * again, and a request that was still under way when the site moved away must not bring it back.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
const alone = (work) => scope.navigator.locks.request(prefix, work);

/** Keep a file, as long as this version is one that is kept. @param {string} path @param {Response} response */
const keep = (path, response) => alone(async () => {
  if (await caches.has(cacheName)) await (await caches.open(cacheName)).put(root + path, response);
});

/**
 * Fetch a file of exactly this version and keep it.
 *
 * @param {Site} site @param {string} path
 * @throws {Error} when the host has another version of it, or an error page in its place
 */
async function take(site, path) {
  const file = site.files.find((entry) => entry.path === path);
  // Some hosts write a line of theirs into the page itself, and lead from its name to the folder.
  const isIndex = path === 'index.html';
  const response = await fetch(isIndex ? root : root + path, { cache: 'no-cache' });
  const right = response.ok && file && (isIndex || (await isRight(response, file.sha256)));
  if (!right) throw new Error(`${path} is not of this version`);
  await keep(path, response.clone());
  return response;
}

async function install() {
  const response = await fetch(root + SITE, { cache: 'no-cache' });
  const site = /** @type {Site} */ (await response.clone().json());
  if (site.version !== version) throw new Error('The site has changed again.');
  await alone(() => caches.open(cacheName));
  try {
    await Promise.all(site.files.filter(({ path }) => isPage(path)).map(({ path }) => take(site, path)));
    await keep(SITE, response);
  } catch (error) {
    await alone(() => caches.delete(cacheName)); // half a version is none
    throw error;
  }
}

/** @param {string} [kept] the version that stays */
const dropVersions = (kept) => alone(async () => {
  const old = (await caches.keys()).filter((name) => name.startsWith(prefix) && name !== prefix + kept);
  await Promise.all(old.map((name) => caches.delete(name)));
});

/** @param {Request} request @param {string} path */
async function answer(request, path) {
  const kept = await find(path);
  if (path === SITE) return answerSite(request, kept ?? Response.error());
  if (kept) return cut(kept, request);
  if (!isExtra(path)) return fetch(request);
  const site = await (await find(SITE))?.json();
  const taken = site ? await take(site, path).catch(() => null) : null;
  return taken ? cut(taken, request) : fetch(request);
}

/** Which version is there? Without an answer soon, the one that is here. @param {Request} request @param {Response} kept */
async function answerSite(request, kept) {
  const late = new Promise((resolve) => setTimeout(resolve, NETWORK_TIMEOUT_MS, null));
  const response = await Promise.race([fetch(request, { cache: 'no-cache' }).catch(() => null), late]);
  if (response?.status === 404 || response?.status === 410) {
    // The site has moved away from here, and must not live on in caches: something else may lie here now.
    await scope.registration.unregister();
    await dropVersions();
    return response;
  }
  return response?.ok ? response : kept;
}

/** Videos are asked for by ranges, and a browser wants its range. @param {Response} response @param {Request} request */
async function cut(response, request) {
  const [, from, to] = request.headers.get('range')?.match(/^bytes=(\d+)-(\d*)$/) ?? [];
  if (from === undefined) return response;
  const body = await response.blob();
  const [start, end] = [Number(from), to ? Math.min(Number(to) + 1, body.size) : body.size];
  const headers = new Headers(response.headers);
  headers.set('content-range', `bytes ${start}-${end - 1}/${body.size}`);
  headers.set('content-length', String(end - start));
  return new Response(body.slice(start, end, body.type), { status: 206, headers });
}

/** @param {string[]} urls */
async function keepExtras(urls) {
  const site = await (await find(SITE))?.json();
  for (const path of urls.map(pathOf)) {
    const small = Number(site?.files.find((/** @type {Site['files'][0]} */ file) => file.path === path)?.size_bytes) <= MOST_COLLECTION_BYTES;
    if (path && (isExtra(path) || (isCollection(path) && small)) && site && !(await find(path))) await take(site, path).catch(() => null);
  }
}

scope.oninstall = (event) => event.waitUntil(install());
scope.onactivate = (event) => event.waitUntil(dropVersions(version));
scope.onfetch = (event) => {
  const path = event.request.method === 'GET' ? pathOf(event.request.url) : null;
  if (path && (path === SITE || isPage(path) || isExtra(path) || isCollection(path))) event.respondWith(answer(event.request, path));
};
scope.onmessage = (event) => {
  if (event.data === 'take-over') {
    const only = scope.clients.matchAll({ type: 'window' }).then((open) => (open.length <= 1 ? scope.skipWaiting() : undefined));
    event.waitUntil(only);
  } else if (Array.isArray(event.data?.keep)) event.waitUntil(keepExtras(event.data.keep));
};

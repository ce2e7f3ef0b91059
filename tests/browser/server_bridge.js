/**
 * @file The page's end of a server in place of a worker, laid open to test_server_fallback.py: the real server.js and
 * the real @gradio/client. Errors come back as values, because what crosses to Python loses their names.
 */

import { readPicture } from './shared/picture.js';
import { Pixels, ServerBridge } from './shared/server.js';

const client_url = new URL('./runtime/gradio-client.min.js', location.href).href;
const bridges = new Map();
const sent = [];

const inWords = (error) => ({ error: error.name, message: error.message });

/** @returns {ServerBridge} one for each address, kept */
function bridgeTo(url) {
  if (!bridges.has(url)) bridges.set(url, new ServerBridge({ url, client_url, onSent: (bytes) => sent.push(bytes) }));
  return bridges.get(url);
}

const bitmap = async (address) => createImageBitmap(await (await fetch(address)).blob());

globalThis.load = ({ url, name }) => bridgeTo(url).request('load', { manifest: { name } }).then((done) => done, inWords);

globalThis.caption = async ({ url, picture, prompt, max_new_tokens = 40, brief = false, stop_at = 0 }) => {
  const bridge = bridgeTo(url);
  const stopper = new AbortController();
  const frame = await bitmap(picture);
  const before = bridge.sentBytes;
  const pieces = [];
  const onEvent = ({ kind, text }) => {
    if (kind === 'text') pieces.push(text);
    if (stop_at && pieces.length >= stop_at) stopper.abort();
  };
  const payload = { picture: frame, prompt, max_new_tokens, brief };
  const result = await bridge.request('caption', payload, { signal: stopper.signal, onEvent }).then((done) => done, inWords);
  return { ...result, pieces, sent: bridge.sentBytes - before, told: sent.at(-1), total: bridge.sentBytes, closed: frame.width === 0 };
};

/** Pictures of any size are fitted as photo-search's own worker fits them. */
globalThis.embed = async ({ url, image, pictures, texts }) => {
  const fitted = await Promise.all(pictures.map(async (name) => readPicture(await bitmap(name), image, Pixels)));
  return bridgeTo(url).request('embed', { pictures: fitted, texts }).then(({ vectors }) => vectors.map((row) => [...row]), inWords);
};

globalThis.captionsAtOnce = async ({ count, ...call }) => Promise.all(Array.from({ length: count }, () => globalThis.caption(call)));

/** Ask, and terminate while the answer is on its way. */
globalThis.terminate = async ({ url, picture, prompt }) => {
  const bridge = new ServerBridge({ url, client_url });
  await bridge.request('load', { manifest: { name: 'scenes-vlm' } });
  const open = bridge.request('caption', { picture: await bitmap(picture), prompt, max_new_tokens: 40 }).then(() => 'answered', inWords);
  bridge.terminate();
  const later = bridge.request('caption', { picture: await bitmap(picture), prompt, max_new_tokens: 40 }).then(() => 'answered', inWords);
  return Promise.all([open, later]);
};
globalThis.ready = true;

/**
 * @file Worker only: a server in place of the graphs, for browsers that cannot run them and only after the visitor has
 * agreed. Photos, made small to the model's size, and the words of a search go there and come back as vectors; the
 * album, the index and the search stay here. The vectors are those of the same ONNX files, so an album goes on on this
 * device later, or the other way round.
 */

/** @import { LoadEvent, LoadJob } from '../../shared/protocol.js' */
/** @import { Model } from './model.js' */

import { notify } from '../../shared/serve.js';
import { Pixels, ServerBridge } from '../../shared/server.js';

/** Photos in one request: the way there takes longer than the model. */
const BATCH = 8;
const SENTENCES = 32;
/** A server that is busy is asked again: an album of hundreds of photos must not stop because of one crowded moment. */
const PAUSES_MS = [1000, 2000, 4000, 8000, 16_000];

/**
 * @param {LoadJob} job whose `server` is not null
 * @param {(event: LoadEvent) => void} emit
 * @returns {Promise<Model>}
 * @throws {import('../../shared/server.js').ServerError}
 */
export async function connectModel(job, emit) {
  if (!job.server) throw new Error('This page has no server.');
  const bridge = new ServerBridge({ ...job.server, onSent: (bytes) => notify({ kind: 'sent', bytes }) });
  await bridge.request('load', job, { onEvent: emit });
  /** @param {import('../../shared/protocol.js').ServerCalls['embed']['payload']} payload */
  const embed = async (payload) => {
    for (const pause_ms of PAUSES_MS) {
      try {
        return (await bridge.request('embed', payload)).vectors;
      } catch (error) {
        if (!(error instanceof Error) || error.name !== 'ServerBusy') throw error;
        await new Promise((resolve) => setTimeout(resolve, pause_ms));
      }
    }
    return (await bridge.request('embed', payload)).vectors;
  };
  return {
    RawImage: /** @type {any} */ (Pixels),
    manifest: job.manifest,
    batch: BATCH,
    sentences: SENTENCES,
    texts: new Map(),
    embedPictures: (pictures) => embed({ pictures, texts: [] }),
    embedTexts: (texts) => embed({ pictures: [], texts }),
  };
}

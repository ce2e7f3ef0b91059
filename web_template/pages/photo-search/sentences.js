/**
 * @file Worker only: the page's own sentences, which come with the site and with their vectors (builder/sentences.py):
 * labels to tag the album with, whose Chinese is in zh.js, and neutral ones for the cut-off. Nothing computes them here.
 */

import { DownloadError } from '../../shared/download.js';
import { decodeVector, rotationBlock } from '../../shared/rotation.js';

/**
 * @typedef {{
 *   labels: Record<string, string>,
 *   neutral: string[],
 *   vectorsOf: (sentences: readonly string[]) => Float32Array[] | null,
 * }} Sentences `labels`: what the model is asked for each; `vectorsOf`: null unless all of them came with the site
 */

/** What vectors of sentences belong to. @param {import('../../shared/protocol.js').Variant | undefined} encoder */
export const towerId = (encoder) => (encoder ? [encoder, ...encoder.data].map(({ sha256 }) => sha256).join(' ') : '');

/**
 * @param {string} url
 * @param {string} tower the text encoder that runs
 * @returns {Promise<Sentences>}
 * @throws {DownloadError}
 */
export async function readSentences(url, tower) {
  const path = 'sentences.json';
  const response = await fetch(url).catch(() => {
    throw new DownloadError({ path, problem: 'connection' });
  });
  if (!response.ok) throw new DownloadError({ path, problem: 'refused', status: response.status });
  /** @type {{ labels: Record<string, string>, neutral: string[], vectors: { towers: string[], codes: Record<string, string> }[] }} */
  const { labels, neutral, vectors } = await response.json().catch(() => {
    throw new DownloadError({ path, problem: 'page' });
  });
  const codes = vectors.find(({ towers }) => towers.includes(tower))?.codes ?? {};
  const came = new Map(Object.entries(codes).map(([sentence, code]) => [sentence, decode(code)]));
  return {
    labels,
    neutral,
    vectorsOf(sentences) {
      const found = sentences.flatMap((sentence) => came.get(sentence) ?? []);
      return found.length === sentences.length ? found : null;
    },
  };
}

/** @param {string} code */
function decode(code) {
  const codes = Int8Array.from(atob(code), (letter) => letter.charCodeAt(0));
  return decodeVector(codes, 1 / Math.hypot(...codes), rotationBlock(codes.length));
}

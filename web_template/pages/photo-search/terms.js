/**
 * @file What a query means: `dog -beach 2:red "on a sofa"`. Page and worker; no DOM.
 *
 * Words without a mark stay together as one sentence, because that is what the model understands best. A minus in front
 * of a word takes away, a number and a colon give weight, quotes hold several words together.
 */

/** @typedef {{ text: string, weight: number }} Term a negative weight takes away */

/** A mark (minus, weight, both), then a quoted piece or one word. Chinese keyboards type “：” and “－”. */
const PIECE = /([-－−]?)(?:(\d+(?:\.\d+)?|\.\d+)[:：])?(?:["“”]([^"“”]*)["“”]?|(\S+))/gu;
/** A weight beyond this would silence every other term. */
const MOST_WEIGHT = 20;

/**
 * Split a query into its terms.
 *
 * @param {string} query
 * @returns {Term[]} empty when it asks for nothing; a query of negative terms only is allowed
 */
export function parseQuery(query) {
  /** @type {Term[]} */
  const marked = [];
  const plain = [];
  for (const [whole, minus, weight, quoted, word] of query.trim().matchAll(PIECE)) {
    const text = (quoted ?? word ?? '').trim();
    if (!text) continue;
    if (!minus && weight === undefined && quoted === undefined) {
      if (whole !== '-') plain.push(text);
      continue;
    }
    const amount = Math.min(weight === undefined ? 1 : Number(weight), MOST_WEIGHT);
    if (amount > 0) marked.push({ text, weight: minus ? -amount : amount });
  }
  return plain.length ? [{ text: plain.join(' '), weight: 1 }, ...marked] : marked;
}

/** Whether the query uses marks, so that it is worth showing how it was understood. @param {Term[]} terms */
export const isCompound = (terms) => terms.length > 1 || terms.some(({ weight }) => weight !== 1);

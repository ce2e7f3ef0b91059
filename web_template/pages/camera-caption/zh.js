/** @file Chinese words of this page; ../../shared/language.js says how they are used. */

/** @type {import('../../shared/language.js').Words} */
export const WORDS = {};

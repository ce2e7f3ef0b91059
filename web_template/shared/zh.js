/** @file Chinese words of what every page shows; language.js says how they are used. */

/** @type {import('./language.js').Words} */
export const WORDS = {
  'Try again': '重试',
  Start: '开始',
  Cancel: '取消',
};

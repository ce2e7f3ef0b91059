/** @file Chinese words of the smallest page. */

export const WORDS = { 'The model runs in this browser.': '模型在此浏览器中运行。' };

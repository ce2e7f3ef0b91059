/**
 * @file Names, dates and places in the visitor's language.
 */

import { language } from '../../shared/language.js';

/** The last part of a photo's path. @param {string} path */
export const fileName = (path) => path.slice(path.lastIndexOf('/') + 1);

/** @param {string} path */
export const folderName = (path) => path.slice(0, Math.max(path.lastIndexOf('/'), 0));

const locale = () => (language() === 'zh' ? 'zh-CN' : 'en-GB');

/** Make sentences of these, one after the other; empty ones are left out. @param {...string} parts without a full stop */
export const sentences = (...parts) =>
  parts.filter(Boolean).map((part) => part + (language() === 'zh' ? '。' : '.')).join(language() === 'zh' ? '' : ' ');

/** @param {string[]} parts */
export const listWords = (parts) => parts.join(language() === 'zh' ? '，' : ', ');

/** A day, e.g. “3 May 2024”. @param {number} date wall clock, read as if it were UTC; NaN: unknown */
export function dateWords(date) {
  if (Number.isNaN(date)) return '';
  return new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeZone: 'UTC' }).format(date);
}

/** @param {number} count */
export const numberWords = (count) => new Intl.NumberFormat(locale()).format(count);

/** @param {{ lat: number, lon: number }} place */
export function placeWords({ lat, lon }) {
  const part = (/** @type {number} */ value, /** @type {string} */ plus, /** @type {string} */ minus) =>
    `${Math.abs(value).toFixed(4)}° ${value < 0 ? minus : plus}`;
  return `${part(lat, 'N', 'S')}, ${part(lon, 'E', 'W')}`;
}

/** What of a time is still to come. @param {number} seconds @param {(text: string, values: Record<string, number>) => string} t */
export function durationWords(seconds, t) {
  if (seconds < 60) return t('{count} s left', { count: Math.max(1, Math.round(seconds)) });
  if (seconds < 5400) return t('{count} min left', { count: Math.round(seconds / 60) });
  return t('{count} h left', { count: Math.round(seconds / 3600) });
}

/**
 * @file The captions of this visit as text, WebVTT and JSON; fetched when a file is asked for.
 */

/** @import { Entry } from './log.js' */

/** How long the last caption of a WebVTT file stays. */
const LAST_MS = 4000;

/**
 * Write captions as a file. WebVTT counts from the first caption, and each stays until the next.
 *
 * @param {readonly Entry[]} entries oldest first
 * @param {'txt' | 'vtt' | 'json'} kind
 */
export function exportLog(entries, kind) {
  if (kind === 'json') {
    const captions = entries.map(({ at_ms, text, question }) => ({
      time: new Date(at_ms).toISOString(),
      text,
      ...(question ? { question } : {}),
    }));
    return { type: 'application/json', text: `${JSON.stringify({ captions }, null, 1)}\n` };
  }
  if (kind === 'txt') {
    const lines = entries.map(({ at_ms, text, question }) => `${new Date(at_ms).toISOString()}  ${question ? `${question} ` : ''}${text}\n`);
    return { type: 'text/plain', text: lines.join('') };
  }
  const start_ms = entries[0]?.at_ms ?? 0;
  const cues = entries.map(({ at_ms, text }, i) => {
    const until_ms = Math.max(entries[i + 1]?.at_ms ?? at_ms + LAST_MS, at_ms + 1);
    return `\n${cueTime(at_ms - start_ms)} --> ${cueTime(until_ms - start_ms)}\n${cueText(text)}\n`;
  });
  return { type: 'text/vtt', text: `WEBVTT\n${cues.join('')}` };
}

/** 3,661,005 ms → 01:01:01.005. @param {number} time_ms */
function cueTime(time_ms) {
  const two = (/** @type {number} */ value) => String(Math.floor(value)).padStart(2, '0');
  const seconds = time_ms / 1000;
  return `${two(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}.${String(Math.floor(time_ms % 1000)).padStart(3, '0')}`;
}

/** A cue ends at an empty line, and `<`, `&` and `-->` mean something in it. @param {string} text */
const cueText = (text) => text.replace(/\s*\n\s*/g, ' ').replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

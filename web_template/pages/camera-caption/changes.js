/**
 * @file “What changed?”: a caption is remembered, and later compared with one of the same question. Models here take one
 * picture at a time, so that it is two captions that are compared, and the page says no more than that.
 */

/** @import { Shot } from './loop.js' */
/** @import { Asking } from './prompts.js' */

import { t } from '../../shared/language.js';
import { changedShare } from '../../shared/luma.js';
import { clock } from './log.js';

/** Differences of fewer cells are noise; see luma.js. */
const SAME_PERCENT = 1;

export class Changes {
  /** @type {{ shot: Shot, asking: Asking, at: Date } | null} */
  #remembered = null;

  /** What was asked about the frame that is remembered: to be asked again. */
  get asking() {
    return this.#remembered?.asking ?? null;
  }

  /**
   * Compare with what is remembered, and remember this instead.
   *
   * @param {Shot} shot @param {Asking} asking
   * @returns {string} whole sentences for the visitor
   */
  compare(shot, asking) {
    const before = this.#remembered;
    const at = new Date();
    this.#remembered = { shot, asking, at };
    const now = shot.text;
    if (!before) return t('Remembered: “{now}”. Press “What changed?” again to hear what is different then.', { now });
    const time = clock(before.at);
    const share = changedShare(before.shot.coarse, shot.coarse);
    const percent = Math.round(share * 100);
    if (before.shot.text !== now) {
      return t('The caption was “{before}” at {time} and is “{now}” now. {percent} % of the picture looks different.', {
        before: before.shot.text, time, now, percent,
      });
    }
    if (percent >= SAME_PERCENT) {
      return t('The caption is “{now}” as at {time}, but {percent} % of the picture looks different.', { time, now, percent });
    }
    return t('Nothing has changed since {time}: “{now}”.', { time, now });
  }
}

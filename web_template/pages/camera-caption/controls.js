/**
 * @file Buttons, fields and keys of the page: each calls one deed of deeds.js and knows nothing else.
 */

import { Keys } from '../../shared/keys.js';
import { byRole } from '../../shared/state.js';

/**
 * @typedef {{
 *   describeNow: () => void, moreDetail: () => void, repeat: () => void, whatChanged: () => void,
 *   togglePause: () => void, freeze: () => void, stopAnswer: () => void,
 *   choosePreset: () => void, submitQuestion: () => void, emptyQuestion: () => void,
 *   save: (kind: 'txt' | 'vtt' | 'json') => void, copyFigures: () => void, copyLink: () => void,
 * }} Deeds
 */

/** @param {Deeds} deeds @returns {Keys} to be turned on and off */
export function bindControls(deeds) {
  const buttons = {
    describe: deeds.describeNow,
    more: deeds.moreDetail,
    repeat: deeds.repeat,
    changed: deeds.whatChanged,
    pause: deeds.togglePause,
    freeze: deeds.freeze,
    'stop-answer': deeds.stopAnswer,
    'copy-metrics': deeds.copyFigures,
    'copy-link': deeds.copyLink,
    help: () => keys.showHelp(),
  };
  for (const [role, deed] of Object.entries(buttons)) byRole(role, HTMLButtonElement).onclick = deed;
  for (const kind of /** @type {const} */ (['txt', 'vtt', 'json'])) {
    const button = document.querySelector(`[data-save="${kind}"]`);
    button?.addEventListener('click', () => deeds.save(kind));
  }
  byRole('prompt', HTMLFieldSetElement).onchange = deeds.choosePreset;
  const question = byRole('question', HTMLInputElement);
  question.form?.addEventListener('submit', (event) => {
    event.preventDefault(); // CSP's form-action 'none' forbids it anyway
    deeds.submitQuestion();
  });
  question.oninput = () => {
    if (!question.value) deeds.emptyQuestion();
  };
  const keys = new Keys([
    { key: 'd', does: 'Describe now', role: 'describe', press: deeds.describeNow },
    { key: 'r', does: 'Repeat', role: 'repeat', press: deeds.repeat },
    { key: 'm', does: 'More detail', role: 'more', press: deeds.moreDetail },
    { key: 'p', does: 'Pause or resume', role: 'pause', press: deeds.togglePause },
    { key: 'f', does: 'Freeze and ask', role: 'freeze', press: deeds.freeze },
    { key: 'w', does: 'What changed?', role: 'changed', press: deeds.whatChanged },
  ], byRole('keys', HTMLDialogElement));
  return keys;
}

/**
 * @file What is asked about each picture: a preset or the visitor's own words, and how long the answer may be.
 */

/** @import { Manifest, Prompt } from '../../shared/protocol.js' */

import { onLanguage, t } from '../../shared/language.js';
import { byRole } from '../../shared/state.js';
import { makeChoice, optionsOf } from './choices.js';
import { GENERAL, presetsOf } from './presets.js';

/**
 * What to ask the model. `shown` is the question where it is the visitor's own.
 *
 * @typedef {{ text: string, shown: string, max_new_tokens: number, brief: boolean }} Asking
 * @typedef {'short' | 'normal' | 'long'} Length
 */

const USUAL_TOKENS = 64;
/** Words that set the length, for models that follow instructions; others are only stopped earlier or later. @type {Record<Length, string>} */
const LENGTH_WORDS = {
  short: ' Answer in one short sentence.',
  normal: ' Answer in one or two sentences.',
  long: ' Answer in detail, in several sentences.',
};
const LONG_TIMES = 3;

export class Prompts {
  #fieldset = byRole('prompt', HTMLFieldSetElement);
  #field = byRole('question', HTMLInputElement);
  #own = '';
  /** @type {Manifest | null} */
  #manifest = null;
  /** @type {Prompt[]} */
  presets = [];
  /** There are presets now. */
  onShow = () => {};

  constructor() {
    onLanguage(() => this.#translate());
  }

  /** Show the presets of this model. @param {Manifest} manifest @param {{ id: string | null, question: string }} first */
  show(manifest, { id, question }) {
    this.#manifest = manifest;
    this.presets = presetsOf(manifest);
    const chosen = this.presets.some((prompt) => prompt.id === id) ? id : this.presets[0]?.id;
    optionsOf(this.#fieldset).replaceChildren(
      ...this.presets.map((prompt) => makeChoice('prompt', prompt.id, t(prompt.label), prompt.id === chosen)),
    );
    this.#field.value = question.slice(0, this.#field.maxLength);
    this.takeField();
    this.onShow();
  }

  /** Take over what stands in the field; empty: back to the preset. */
  takeField() {
    this.#own = this.#field.value.trim();
    this.#fieldset.classList.toggle('overruled', this.#own !== '');
  }

  /** Back to the preset that is chosen. */
  takePreset() {
    this.#field.value = '';
    this.takeField();
  }

  /** What the visitor asks in their own words; empty: a preset. */
  get question() {
    return this.#own;
  }

  /** @returns {Prompt} */
  get preset() {
    const id = /** @type {HTMLInputElement | null} */ (this.#fieldset.querySelector('input:checked'))?.value;
    return this.presets.find((prompt) => prompt.id === id) ?? /** @type {Prompt} */ (this.presets[0] ?? GENERAL[0]);
  }

  /** Whether the model takes instructions beside the prompts that it comes with. */
  get general() {
    return this.presets === GENERAL;
  }

  /** What is asked now. @param {Length} length */
  asking(length) {
    return this.ask(this.#own || this.preset.text, length, this.#own);
  }

  /** @param {string} text @param {Length} length @param {string} [shown] @returns {Asking} */
  ask(text, length, shown = '') {
    const usual = this.#manifest?.generation?.max_new_tokens ?? USUAL_TOKENS;
    const words = this.general ? LENGTH_WORDS[length] : '';
    return {
      text: text + words,
      shown,
      max_new_tokens: length === 'long' ? usual * LONG_TIMES : usual,
      brief: length === 'short',
    };
  }

  /** All that this model can be asked at once for more detail: in its own words, or each of the presets it comes with. */
  detailed() {
    if (this.general) return [this.ask('Describe the picture with everything in it and where it is.', 'long')];
    return this.presets.slice(0, 4).map(({ text, label }) => ({ ...this.ask(text, 'long'), shown: t(label) }));
  }

  #translate() {
    for (const input of this.#fieldset.querySelectorAll('input')) {
      const preset = this.presets.find(({ id }) => id === input.value);
      if (preset && input.nextElementSibling) input.nextElementSibling.textContent = t(preset.label);
    }
  }
}

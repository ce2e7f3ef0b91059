/**
 * @file Who speaks the captions: the visitor's screen reader through the announcer, this page's voice, or nobody. Never two
 * of them.
 */

/** @import { Settings } from './settings.js' */

import { Announcer } from '../../shared/announcer.js';
import { language, later, onLanguage, t } from '../../shared/language.js';
import { languageOf } from '../../shared/sentences.js';
import { Speech, canSpeak, localVoices } from '../../shared/speech.js';
import { byRole, part, say } from '../../shared/state.js';

export class Speaking {
  #announcer = new Announcer(byRole('announcer', HTMLElement));
  #speech = new Speech();
  #settings;
  #voices = byRole('voice', HTMLSelectElement);
  #quiet = false;

  /** @param {Settings} settings */
  constructor(settings) {
    this.#settings = settings;
    settings.onChange((name) => this.#apply(name));
    this.#voices.onchange = () => {
      settings.keepOwn('voice', this.#voices.value);
      this.#speech.voice = this.#voices.value;
      this.#try();
    };
    onLanguage(() => this.#listVoices());
    if (canSpeak()) speechSynthesis.onvoiceschanged = () => this.#listVoices();
    const option = document.querySelector('[data-setting="speak"] option[value="voice"]');
    if (option instanceof HTMLOptionElement) option.disabled = !canSpeak();
    this.#speech.voice = settings.own('voice');
    this.#listVoices();
    for (const name of ['speak', 'every', 'rate', 'volume']) this.#apply(name);
  }

  /** A caption of the live loop. @param {string} text @param {string} scene */
  caption(text, scene) {
    if (!this.#quiet) this.#announcer.announce(text, { lang: languageOf(text), scene });
  }

  /** A sentence of the page about the picture. @param {string} text */
  hint(text) {
    if (!this.#quiet) this.#announcer.announce(text);
  }

  /** What the visitor has asked for, in the words of the model or of the page. @param {string} text @param {{ own?: boolean, scene?: string }} [about] */
  answer(text, { own = false, scene = '' } = {}) {
    this.#announcer.answer(text, { lang: own ? '' : languageOf(text), scene });
  }

  /** What was said last. */
  get last() {
    return this.#announcer.spoken;
  }

  /** Say nothing more, and break off what is being said. */
  silence() {
    this.#announcer.silence();
    this.#speech.stop();
  }

  /** @param {string} name of a setting */
  #apply(name) {
    const settings = this.#settings;
    if (name === 'every') this.#announcer.interval_ms = settings.number('every') * 1000;
    if (name === 'rate') this.#speech.rate = settings.number('rate');
    if (name === 'volume') this.#speech.volume = settings.number('volume');
    if (name !== 'speak') return;
    const speaks = settings.get('speak') === 'voice' && canSpeak();
    this.#quiet = settings.get('speak') === 'nobody';
    this.#announcer.sink = speaks ? (sentence, asked) => this.#say(sentence, asked) : null;
    part(document, 'voice').hidden = !speaks;
    if (speaks) this.#try();
    else this.silence();
  }

  /** Say something right away: where speech needs a click first (iOS), this is the click. */
  #try() {
    if (navigator.userActivation?.hasBeenActive ?? true) this.#say({ text: t('This is the voice.'), lang: language() }, true);
  }

  /** @param {{ text: string, lang: string }} sentence @param {boolean} atOnce */
  #say(sentence, atOnce) {
    const silent = !this.#speech.say(sentence, atOnce);
    const note = part(document, 'no-voice');
    if (silent && note.hidden) say(later('No caption is spoken: this device has no voice of its own.'));
    note.hidden = !silent;
  }

  #listVoices() {
    const usual = new Option(t('the device’s own'), '');
    this.#voices.replaceChildren(usual, ...localVoices().map(({ name, lang, voiceURI }) => new Option(`${name} (${lang})`, voiceURI)));
    this.#voices.value = this.#speech.voice;
    if (this.#voices.selectedIndex < 0) this.#voices.value = '';
  }
}

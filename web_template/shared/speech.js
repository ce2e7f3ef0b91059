/**
 * @file Reads sentences aloud with a voice of this device, for visitors without a screen reader. Off until asked for.
 *
 * Only the newest sentence counts: one that is being said is finished, what waited behind it is replaced.
 */

/** A voice that is not installed on this device sends the words to a server; such voices are not offered. */
export const localVoices = () => globalThis.speechSynthesis?.getVoices().filter(({ localService }) => localService) ?? [];

/** @param {string} lang as in “zh-CN” or “en_US” @returns {string} “zh”, “en” */
const plain = (lang) => lang.toLowerCase().split(/[-_]/)[0] ?? '';

/** Longest that an utterance takes: some browsers never say that one has ended. @param {string} text @param {number} rate */
const longest_ms = (text, rate) => 4000 + (200 * text.length) / rate;

export const canSpeak = () => 'speechSynthesis' in globalThis;

export class Speech {
  rate = 1;
  volume = 1;
  /** Address of the voice (`voiceURI`); empty: the device's own choice for the language. */
  voice = '';
  /** Held on to: WebKit forgets an utterance that nobody holds, and never says that it has ended. @type {SpeechSynthesisUtterance | null} */
  #current = null;
  /** @type {{ text: string, lang: string } | null} */
  #waiting = null;

  /**
   * @param {{ text: string, lang: string }} sentence
   * @param {boolean} [atOnce] break off what is being said
   * @returns {boolean} false: there is no voice on this device, and nothing is said
   */
  say(sentence, atOnce = false) {
    if (!localVoices().length) return false;
    if (this.#current && !atOnce) {
      this.#waiting = sentence;
      return true;
    }
    if (this.#current) this.stop();
    this.#start(sentence);
    return true;
  }

  /** Be silent at once. */
  stop() {
    this.#waiting = null;
    this.#current = null;
    if (canSpeak()) speechSynthesis.cancel();
  }

  /** The voice that was chosen, else the device's own for the language, else any of the device. @param {string} lang */
  #voiceFor(lang) {
    const voices = localVoices();
    const fitting = voices.filter((voice) => plain(voice.lang) === plain(lang));
    const usual = fitting.length ? fitting : voices;
    return voices.find(({ voiceURI }) => voiceURI === this.voice) ?? usual.find((voice) => voice.default) ?? usual[0];
  }

  /** @param {{ text: string, lang: string }} sentence */
  #start({ text, lang }) {
    const voice = this.#voiceFor(lang || document.documentElement.lang);
    if (!voice) return; // the browser's own choice may be one of a server
    const utterance = Object.assign(new SpeechSynthesisUtterance(text), { rate: this.rate, volume: this.volume, voice, lang: voice.lang });
    const timer = setTimeout(() => over(), longest_ms(text, this.rate));
    const over = () => {
      clearTimeout(timer);
      if (this.#current !== utterance) return; // stopped, or replaced
      this.#current = null;
      const next = this.#waiting;
      this.#waiting = null;
      if (next) this.#start(next);
    };
    utterance.onend = over;
    utterance.onerror = over; // no voice, or no sound device: the words are still on the screen
    this.#current = utterance;
    speechSynthesis.speak(utterance);
  }
}

/**
 * @file Reads sentences aloud with a voice of this device, for visitors without a screen reader. Off until asked for.
 *
 * Only the newest sentence counts: one that is being said is finished, what waited behind it is replaced.
 */

/** A voice that is not installed on this device sends the words to a server; such voices are not offered. */
export const localVoices = () => globalThis.speechSynthesis?.getVoices().filter(({ localService }) => localService) ?? [];

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
   */
  say(sentence, atOnce = false) {
    if (!canSpeak()) return;
    if (this.#current && !atOnce) {
      this.#waiting = sentence;
      return;
    }
    if (this.#current) this.stop();
    this.#start(sentence);
  }

  /** Be silent at once. */
  stop() {
    this.#waiting = null;
    this.#current = null;
    if (canSpeak()) speechSynthesis.cancel();
  }

  /** @param {{ text: string, lang: string }} sentence */
  #start({ text, lang }) {
    const voice = localVoices().find(({ voiceURI }) => voiceURI === this.voice);
    const utterance = Object.assign(new SpeechSynthesisUtterance(text), { rate: this.rate, volume: this.volume });
    if (voice) utterance.voice = voice;
    utterance.lang = voice?.lang ?? (lang || document.documentElement.lang);
    const over = () => {
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

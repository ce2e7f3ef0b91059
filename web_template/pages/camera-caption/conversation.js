/**
 * @file Questions about a frozen picture, turn by turn. The worker keeps what it has computed of the picture and the
 * earlier turns; where it has lost that (a fresh worker), picture and turns are sent once more.
 */

/** @import { AskResult, CaptionCalls, Turn } from '../../shared/protocol.js' */
/** @import { Session } from '../../shared/session.js' */
/** @import { CaptionLoop } from './loop.js' */

import { t } from '../../shared/language.js';
import { languageOf } from '../../shared/sentences.js';
import { byRole } from '../../shared/state.js';

let numbers = 0;

export class Conversation {
  #list = byRole('conversation', HTMLElement);
  #loop;
  /** @type {ImageBitmap | null} */
  #picture = null;
  /** Name of the scene that the picture shows. */
  scene = '';
  #number = 0;
  /** @type {Turn[]} */
  #turns = [];
  #busy = new AbortController();

  /** @param {CaptionLoop} loop lends its turn at the worker */
  constructor(loop) {
    this.#loop = loop;
  }

  get open() {
    return this.#picture !== null;
  }

  /** Begin a conversation about this picture. @param {ImageBitmap} picture is kept, and closed in the end @param {string} scene see gating.js */
  begin(picture, scene) {
    this.end(null);
    this.scene = scene;
    this.#picture = picture;
    this.#number = ++numbers;
    this.#list.replaceChildren();
  }

  /** Stop the answer in progress. */
  stop() {
    this.#busy.abort();
  }

  /** Leave the picture. @param {Session<CaptionCalls> | null} session to free what its worker keeps */
  end(session) {
    this.stop();
    if (!this.#picture) return;
    this.#picture.close();
    this.#picture = null;
    this.#turns = [];
    if (session && !session.server) {
      // Nothing to do where it fails: a worker that broke has freed everything.
      this.#loop.alone(() => session.request('forget', {})).catch(() => {});
    }
  }

  /**
   * Ask about the picture; the answer grows in the list.
   *
   * @param {Session<CaptionCalls>} session
   * @param {{ prompt: string, shown: string, max_new_tokens: number }} question
   * @returns {Promise<AskResult>}
   * @throws {DOMException} AbortError: stopped, or asked once more meanwhile
   */
  async ask(session, { prompt, shown, max_new_tokens }) {
    this.stop();
    const { signal } = (this.#busy = new AbortController());
    const answer = this.#showTurn(shown);
    let [text, drawing] = ['', 0];
    const onEvent = (/** @type {{ text: string }} */ event) => {
      text += event.text;
      drawing ||= requestAnimationFrame(() => {
        drawing = 0;
        answer.textContent = text;
      });
    };
    try {
      const result = await this.#loop.alone(async () => {
        signal.throwIfAborted();
        return this.#send(session, { prompt, max_new_tokens }, { signal, onEvent });
      });
      cancelAnimationFrame(drawing);
      answer.textContent = result.text || t('The model has no words for this picture.');
      answer.lang = languageOf(answer.textContent);
      this.#turns.push({ question: prompt, answer: result.text });
      return result;
    } catch (error) {
      cancelAnimationFrame(drawing);
      answer.parentElement?.remove();
      throw error;
    } finally {
      delete this.#list.dataset.busy;
    }
  }

  /**
   * @param {Session<CaptionCalls>} session
   * @param {{ prompt: string, max_new_tokens: number }} question
   * @param {{ signal: AbortSignal, onEvent: (event: any) => void }} options
   * @returns {Promise<AskResult>}
   */
  async #send(session, { prompt, max_new_tokens }, options) {
    const payload = { conversation: this.#number, history: this.#turns.slice(), prompt, max_new_tokens };
    const whole = async () => {
      const picture = await this.#copy();
      return session.request('ask', { ...payload, picture }, { ...options, transfer: [picture] });
    };
    if (!this.#turns.length || session.server) return whole(); // a server keeps nothing of anybody
    return session.request('ask', payload, options).catch((error) => {
      if (error?.name !== 'ConversationLost') throw error;
      return whole();
    });
  }

  async #copy() {
    if (!this.#picture) throw new DOMException('The picture is gone.', 'AbortError');
    return createImageBitmap(this.#picture);
  }

  /** @param {string} question @returns {HTMLElement} where the answer goes */
  #showTurn(question) {
    const turn = document.createElement('li');
    const asked = document.createElement('p');
    const answer = document.createElement('p');
    asked.className = 'asked';
    asked.textContent = question;
    answer.textContent = '…';
    turn.append(asked, answer);
    this.#list.append(turn);
    this.#list.dataset.busy = 'true';
    turn.scrollIntoView({ block: 'nearest' });
    return answer;
  }
}

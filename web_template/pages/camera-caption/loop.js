/**
 * @file The live loop: look at the picture, and when there is something new in it take the newest frame, caption it, and
 * look again. Never a queue: one request at a time, and what came in between is gone.
 */

/** @import { CaptionCalls, CaptionResult, Look } from '../../shared/protocol.js' */
/** @import { Session } from '../../shared/session.js' */
/** @import { CaptionView } from './captions.js' */
/** @import { Asking } from './prompts.js' */
/** @import { Source } from './sources.js' */

import { isAbort } from '../../shared/bridge.js';
import { later, t } from '../../shared/language.js';
import { PageError } from '../../shared/state.js';
import { SceneGate } from './gating.js';

/** After so many failures in a row the model is given up; fewer are only reported. */
const MOST_FAILURES = 3;
const [WAIT_AFTER_FAILURE_MS, SERVER_WAIT_MS] = [500, 4000];
/** A fast device gets no more than this out of a caption: words that change faster cannot be read, and cost power. */
const SHORTEST_ROUND_MS = 400;
/** A server is asked less often: others wait for it, too. */
const SERVER_ROUND_MS = 2000;
/** How often a picture that has not changed is looked at. */
const LOOK_EVERY_MS = 200;

/**
 * What the loop asks of its page, and tells it.
 *
 * @typedef {{
 *   session: () => Session<CaptionCalls> | null,
 *   asking: (moving: boolean) => Asking,
 *   settings: { number: (name: string) => number },
 *   onCaption: (result: CaptionResult, asking: Asking, scene: string) => void,
 *   onFault: (fault: Look['fault']) => void,
 *   onResting: (resting: boolean) => void,
 *   onTrouble: (error: unknown) => void,
 *   onSourceLost: (error: PageError) => void,
 *   onModelLost: (error: unknown) => void,
 * }} Host
 *   `asking`: what to ask now, shorter where the picture is moving; `onResting`: whether the model rests because nothing
 *   changes; `onTrouble`: one picture failed, the next is tried
 * @typedef {{ text: string, cut: boolean, scene: string, coarse: Uint8Array }} Shot `scene`: see gating.js; `coarse`: see luma.js
 */

export class CaptionLoop {
  #source;
  #view;
  #host;
  #gate = new SceneGate();
  #live = false;
  /** Each start has its number; a run that is no longer the newest ends. */
  #newest = 0;
  /** Settles when the request before has been answered. @type {Promise<unknown>} */
  #last = Promise.resolve();
  #current = new AbortController();

  /** @param {Source} source @param {CaptionView} view @param {Host} host */
  constructor(source, view, host) {
    this.#source = source;
    this.#view = view;
    this.#host = host;
  }

  get live() {
    return this.#live;
  }

  /** Caption until `stop`. */
  start() {
    this.#live = true;
    this.#gate.forget();
    void this.#run(++this.#newest);
  }

  /** Stop at once, also in the middle of a caption. */
  stop() {
    this.#live = false;
    this.#newest += 1;
    this.#current.abort();
    this.#view.abandon(); // the worker takes a moment to stop; what it still says is not shown
    this.#host.onResting(false);
  }

  /** Something else is asked now: what is being made is of no use, and the picture counts as new. */
  changed() {
    this.#gate.forget();
    this.#current.abort();
  }

  /**
   * Wait for the request before, then run this one: the worker gets one at a time.
   *
   * @template T
   * @param {(signal: AbortSignal) => Promise<T>} work
   * @returns {Promise<T>}
   */
  alone(work) {
    const current = new AbortController();
    const run = this.#last.then(() => {
      this.#current = current;
      return work(current.signal);
    });
    this.#last = run.catch(() => {}); // whoever asked hears of it
    return run;
  }

  /**
   * Take one frame now, whatever the gate says, and ask these things about it one after the other.
   *
   * @param {Asking[]} askings
   * @returns {Promise<Shot>} the answers, each behind its question where there are several
   */
  shoot(askings) {
    this.#current.abort();
    return this.alone(async (signal) => {
      const session = this.#session();
      const longest = this.#host.settings.number('size');
      const { picture, coarse } = await this.#source.grab(signal, longest);
      let [text, cut] = ['', false];
      try {
        for (const asking of askings) {
          const before = askings.length > 1 ? `${text && `${text} `}${asking.shown}: ` : '';
          const result = await this.#request(session, await createImageBitmap(picture), asking, signal, before);
          text = askings.length > 1 ? `${before}${result.text.replace(/[^.!?]$/, '$&.')}` : result.text;
          cut = result.cut ?? false;
          this.#gate.taken(coarse, false);
          if (asking === askings.at(-1)) this.#finish({ ...result, text }, askings.length > 1 ? { ...asking, shown: '' } : asking);
        }
      } catch (error) {
        this.#view.abandon();
        throw error;
      } finally {
        picture.close();
      }
      return { text, cut, scene: this.#gate.scene, coarse };
    });
  }

  #session() {
    const session = this.#host.session();
    if (!session) throw new DOMException('There is no model.', 'AbortError');
    return session;
  }

  /** @param {number} mine */
  async #run(mine) {
    let failures = 0;
    const goesOn = () => this.#live && mine === this.#newest;
    while (goesOn()) {
      const begun_ms = performance.now();
      try {
        await this.alone((signal) => this.#round(signal, goesOn));
        failures = 0;
        const shortest_ms = this.#host.session()?.server ? SERVER_ROUND_MS : SHORTEST_ROUND_MS;
        const round_ms = Math.max(shortest_ms, this.#host.settings.number('pace') * 1000);
        await wait(begun_ms + round_ms - performance.now(), this.#current.signal);
      } catch (error) {
        this.#view.abandon();
        if (isAbort(error)) continue;
        if (!goesOn()) return;
        if (error instanceof PageError) return this.#host.onSourceLost(error); // the picture's fault, not the model's
        failures += 1;
        if (failures >= MOST_FAILURES) return this.#host.onModelLost(error);
        this.#host.onTrouble(error);
        await wait(this.#host.session()?.server ? SERVER_WAIT_MS : WAIT_AFTER_FAILURE_MS, new AbortController().signal);
      }
    }
  }

  /** Name of the scene of a picture that was taken for something else than a caption. @param {Uint8Array} coarse */
  sceneOf(coarse) {
    this.#gate.taken(coarse, false);
    return this.#gate.scene;
  }

  /** @param {AbortSignal} signal @param {() => boolean} goesOn */
  async #round(signal, goesOn) {
    if (!goesOn()) return;
    const moving = await this.#untilNew(signal);
    const session = this.#session();
    const asking = this.#host.asking(moving);
    const { picture, coarse } = await this.#source.grab(signal, this.#host.settings.number('size'));
    if (signal.aborted) picture.close();
    signal.throwIfAborted();
    this.#gate.taken(coarse, moving && asking.brief && !this.#host.asking(false).brief);
    const scene = this.#gate.scene + (asking.brief ? ' brief' : '');
    const result = await this.#request(session, picture, asking, signal);
    if (goesOn()) this.#finish(result, asking, scene);
  }

  /**
   * Look until there is something to caption.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<boolean>} whether it is moving
   */
  async #untilNew(signal) {
    const { settings, onFault, onResting } = this.#host;
    for (;;) {
      signal.throwIfAborted();
      const seen = await this.#source.look();
      signal.throwIfAborted();
      if (!seen) return false; // grabbing waits for a picture, and says when none comes
      // A plain picture of another source is what it shows; of a camera it is a finger on the lens.
      const fault = this.#source.kind === 'camera' ? seen.fault : '';
      onFault(fault);
      const verdict = settings.number('gate') ? this.#gate.look(seen.coarse, performance.now()) : 'resting';
      if (fault !== 'covered' && (verdict === 'resting' || verdict === 'moving')) {
        onResting(false);
        return verdict === 'moving';
      }
      if (verdict === 'same' || fault === 'covered') onResting(true);
      await wait(LOOK_EVERY_MS, signal);
    }
  }

  /** @param {Session<CaptionCalls>} session @param {ImageBitmap} picture @param {Asking} asking @param {AbortSignal} signal @param {string} [before] */
  #request(session, picture, { text: prompt, max_new_tokens, brief }, signal, before) {
    this.#view.begin(before);
    return session.request(
      'caption',
      { picture, prompt, max_new_tokens, brief },
      { transfer: [picture], signal, onEvent: (event) => event.kind === 'text' && this.#view.append(event.text) },
    ).catch((error) => {
      if (error?.name !== 'QuestionTooLong') throw error;
      const words = { title: later('The question is too long'), what: later('It is longer than this model can follow.'), todo: later('Ask a shorter one.') };
      throw new PageError(words, error); // the model is in order
    });
  }

  /** @param {CaptionResult} result @param {Asking} asking @param {string} [scene] */
  #finish(result, asking, scene = '') {
    const text = result.text || t('The model has no words for this picture.');
    this.#view.finish(text);
    this.#host.onCaption({ ...result, text }, asking, scene);
  }
}

/** Settles after this time, or with the signal. @param {number} time_ms @param {AbortSignal} signal @returns {Promise<void>} */
function wait(time_ms, signal) {
  if (time_ms <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', over);
      resolve();
    };
    const timer = setTimeout(over, time_ms);
    signal.addEventListener('abort', over);
  });
}

/**
 * @file Going and stopping: the source that is open, the captions of it, one picture at a time, and a frozen one let go.
 *
 * loop.js takes the frames, sources.js has them, captions.js shows and speaking.js speaks the answers. What the visitor
 * does is in deeds.js, questions about a frozen picture in frozen.js.
 */

/** @import { CaptionCalls } from '../../shared/protocol.js' */
/** @import { Session } from '../../shared/session.js' */
/** @import { Shot } from './loop.js' */
/** @import { Asking, Length } from './prompts.js' */

import { isAbort } from '../../shared/bridge.js';
import { later, onLanguage, t } from '../../shared/language.js';
import { describeFailure } from '../../shared/problems.js';
import { wholeSentence } from '../../shared/sentences.js';
import { PageError, byRole, clearProblem, getState, say, setState, showProblem } from '../../shared/state.js';
import { keepAwake, letSleep } from '../../shared/wake.js';
import { CaptionView } from './captions.js';
import { Conversation } from './conversation.js';
import { Hints } from './hints.js';
import { CaptionLog } from './log.js';
import { CaptionLoop } from './loop.js';
import { Metrics } from './metrics.js';
import { Prompts } from './prompts.js';
import { Speaking } from './speaking.js';
import { params, picker, settings, source } from './stage.js';
import { SourceTools } from './tools.js';

export const root = document.documentElement;
export const view = new CaptionView();
export const log = new CaptionLog();
export const metrics = new Metrics();
export const prompts = new Prompts();
export const speaking = new Speaking(settings);
const hints = new Hints((sentence) => speaking.hint(sentence));
const tools = new SourceTools(source, settings, changeSource);
const pauseButton = byRole('pause', HTMLButtonElement);

/** @type {Session<CaptionCalls> | null} */
export let session = null;
/** What the visitor wants, also while the model is being brought back or the page is hidden. */
let wantsLive = true;
/** Captions wait until the page is seen again. */
let asleep = false;
/** Each opening of the source has its number; one that is no longer the newest ends. */
let newest = 0;

export const length = () => /** @type {Length} */ (settings.get('length'));

export const loop = new CaptionLoop(source, view, {
  session: () => session,
  settings,
  asking: (moving) => prompts.asking(moving ? 'short' : length()),
  onCaption(result, { shown }, scene) {
    log.add(result.text, shown);
    metrics.finished(result);
    if (scene) speaking.caption(wholeSentence(result.text, result.cut), scene);
    if (root.dataset.trouble) say(later('Live.'));
    delete root.dataset.trouble;
  },
  onFault: (fault) => hints.note(fault),
  onResting: (resting) => root.toggleAttribute('data-resting', resting),
  onTrouble(error) {
    root.dataset.trouble = 'true';
    sayTrouble(error);
  },
  onSourceLost: loseSource,
  onModelLost: (error) => session?.fail(error),
});
export const conversation = new Conversation(loop);

source.onLost = loseSource;
source.onMuted = (muted) => say(muted ? later('The source gives no picture at the moment.') : later('Live.'));
picker.onChosen = changeSource;
picker.onProblem = loseSource;
onLanguage(() => showPaused(!root.hasAttribute('data-live')));
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && asleep) void goLive();
  else if (document.hidden && loop.live && source.kind !== 'screen') fallAsleep();
});

/** The model is loaded: for the first time, or again. @param {Session<CaptionCalls>} opened */
export function ready(opened) {
  if (!prompts.presets.length) prompts.show(opened.manifest, { id: params.get('prompt'), question: opened.query.q ?? '' });
  session = opened;
  metrics.show('model', opened.size);
  metrics.show('runs-on', opened.device);
  if (wantsLive) return void goLive();
  setState('paused'); // it was brought back while the visitor had paused, or froze a picture
  showPaused(true);
}

/** The model is gone. */
export function lost() {
  session = null;
  stop();
  // No picture of the visitor stays behind, but for one that they froze: the conversation about it goes on.
  if (picker.value === 'camera' && !conversation.open) source.close();
}

/** @param {unknown} error */
const sayTrouble = (error) => say(later('This picture failed, trying the next one: {error}', { error: describeFailure(error) }));

/**
 * Open the chosen source.
 *
 * @returns {Promise<boolean>} false: something else was chosen meanwhile, or it failed and the page says so
 */
export async function openSource() {
  const mine = ++newest;
  const { wanted } = picker;
  leaveFrozen();
  clearProblem();
  setState('ready'); // from here on the button pauses: the visitor may not want to wait for the camera
  showPaused(false);
  say(wanted.kind === 'camera' ? later('Waiting for the camera…') : later('Opening the picture…'));
  try {
    await source.open(wanted);
    await tools.opened();
  } catch (error) {
    if (mine === newest && !isAbort(error)) loseSource(error);
    return false;
  }
  return session !== null && mine === newest;
}

/** Open the chosen source and caption it, as soon as somebody can see it. */
export async function goLive() {
  wantsLive = true;
  asleep = false;
  if (document.hidden && picker.wanted.kind !== 'screen') return fallAsleep();
  if (!session || !(await openSource())) return;
  if (document.hidden && source.kind !== 'screen') return fallAsleep();
  setState('running');
  keepAwake();
  say(() => [t('Live.'), ...(session?.notices ?? [])].join(' '));
  loop.start();
}

/** Nothing runs, nothing is said and the camera is off. */
export function stop() {
  newest += 1;
  loop.stop();
  conversation.stop();
  speaking.silence();
  hints.clear();
  metrics.resetRate();
  source.pause();
  tools.closed();
  letSleep();
}

export function pause() {
  wantsLive = asleep = false;
  rest(later('Paused.'));
  session?.settle();
}

/** A hidden page looks at nothing, unless it is at another window. */
function fallAsleep() {
  asleep = true;
  rest(later('Paused while this page is hidden.'));
}

/** @param {import('../../shared/protocol.js').Text} words */
function rest(words) {
  stop();
  setState('paused');
  showPaused(true);
  say(words);
}

/** The picture broke off: the model stays, and trying again opens the source again. @param {unknown} error */
export function loseSource(error) {
  stop();
  const unknown = { title: later('The picture broke off'), what: describeFailure(error), todo: later('Try again.') };
  const words = error instanceof PageError ? error : new PageError(unknown, error);
  if (!session) return say(words.what); // nothing runs yet, and starting tries again
  showProblem({ title: words.title, what: words.what, todo: words.todo, retry: () => void goLive() });
}

function changeSource() {
  if (!session) {
    picker.preview();
    return void tools.opened();
  }
  stop();
  view.clear(); // it would be taken for a caption of what is to be seen now
  byRole('compared', HTMLElement).hidden = true;
  void goLive();
}

/** The source is to be opened anew, as something about it has changed. */
export function reopen() {
  stop();
  void goLive();
}

/** @param {boolean} paused */
export function showPaused(paused) {
  root.toggleAttribute('data-live', !paused);
  pauseButton.textContent = !paused ? t('Pause') : root.hasAttribute('data-frozen') ? t('Back to live') : t('Resume');
}

/** Whether there is a model and nothing in the way of using it. */
export const canWork = () => session !== null && ['running', 'paused', 'ready'].includes(getState());

/**
 * Caption one frame, also while the page is paused: then the source is opened for it and let go again.
 *
 * @param {Asking[]} askings
 * @returns {Promise<Shot | null>} null: stopped, or it failed and the page says so
 */
export async function shoot(askings) {
  const wasLive = loop.live;
  try {
    if (!wasLive && !(await openSource())) return null;
    setState('running');
    const shot = await loop.shoot(askings);
    if (!wasLive && !loop.live) pause();
    return shot;
  } catch (error) {
    if (isAbort(error) || !session) return null;
    if (error instanceof PageError) loseSource(error);
    else if (loop.live) sayTrouble(error);
    else session.fail(error);
    return null;
  }
}

/** A picture is frozen, and waits for questions. */
export function nowFrozen() {
  wantsLive = false;
  root.toggleAttribute('data-frozen', true);
  setState('paused');
  showPaused(true);
}

function leaveFrozen() {
  if (!conversation.open) return;
  conversation.end(session);
  source.cover(null);
  root.toggleAttribute('data-frozen', false);
  root.toggleAttribute('data-answering', false);
}

/**
 * @file Camera captions, page only: what the visitor does, and what happens then. Start reading at the end.
 *
 * The model lives in worker.js. loop.js takes the frames, sources.js has them, picker.js chooses among them, prompts.js
 * says what is asked, captions.js shows and speaking.js speaks the answers, conversation.js is about a frozen picture,
 * controls.js has the buttons and keys.
 */

/** @import { CaptionCalls, Text } from '../../shared/protocol.js' */
/** @import { Shot } from './loop.js' */
/** @import { Asking, Length } from './prompts.js' */

import { wholeSentence } from '../../shared/announcer.js';
import { isAbort } from '../../shared/bridge.js';
import { later, onLanguage, t } from '../../shared/language.js';
import { describeFailure } from '../../shared/problems.js';
import { Session, openSession } from '../../shared/session.js';
import { PageError, byRole, clearProblem, getState, say, setState, showProblem } from '../../shared/state.js';
import { keepAwake, letSleep } from '../../shared/wake.js';
import { CaptionView } from './captions.js';
import { Changes } from './changes.js';
import { bindControls } from './controls.js';
import { Conversation } from './conversation.js';
import { Hints } from './hints.js';
import { CaptionLog } from './log.js';
import { CaptionLoop } from './loop.js';
import { Metrics } from './metrics.js';
import { SourcePicker } from './picker.js';
import { Prompts } from './prompts.js';
import { Settings } from './settings.js';
import { Source } from './sources.js';
import { Speaking } from './speaking.js';

const root = document.documentElement;
const params = new URLSearchParams(location.search);

const settings = new Settings(params);
const view = new CaptionView();
const log = new CaptionLog();
const metrics = new Metrics();
const prompts = new Prompts();
const changes = new Changes();
const speaking = new Speaking(settings);
const hints = new Hints((sentence) => speaking.hint(sentence));
const source = new Source(byRole('video', HTMLVideoElement), byRole('still', HTMLCanvasElement), loseSource);
const picker = new SourcePicker(source, settings, { onChosen: changeSource, onProblem: loseSource });
const question = byRole('question', HTMLInputElement);
const pauseButton = byRole('pause', HTMLButtonElement);

/** @type {Session<CaptionCalls> | null} */
let session = null;
/** What the visitor wants, also while the model is being brought back. */
let wantsLive = true;
/** Each opening of the source has its number; one that is no longer the newest ends. */
let newest = 0;

const loop = new CaptionLoop(source, view, {
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
const conversation = new Conversation(loop);

/** @param {unknown} error */
const sayTrouble = (error) => say(later('This picture failed, trying the next one: {error}', { error: describeFailure(error) }));

// ------------------------------------------------------------------------------------------------ going and stopping

/**
 * Open the chosen source.
 *
 * @returns {Promise<boolean>} false: something else was chosen meanwhile, or it failed and the page says so
 */
async function openSource() {
  const mine = ++newest;
  const { wanted } = picker;
  leaveFrozen();
  clearProblem();
  setState('ready'); // from here on the button pauses: the visitor may not want to wait for the camera
  showPaused(false);
  say(wanted.kind === 'camera' ? later('Waiting for the camera…') : later('Opening the picture…'));
  try {
    await source.open(wanted);
    await picker.opened();
  } catch (error) {
    if (mine === newest && !isAbort(error)) loseSource(error);
    return false;
  }
  return session !== null && mine === newest;
}

/** Open the chosen source and caption it. */
async function goLive() {
  wantsLive = true;
  if (!session || !(await openSource())) return;
  setState('running');
  keepAwake();
  say(() => [t('Live.'), ...(session?.notices ?? []), ...notices()].join(' '));
  loop.start();
}

function stop() {
  newest += 1;
  loop.stop();
  conversation.stop();
  speaking.silence();
  hints.clear();
  metrics.resetRate();
  source.pause();
  picker.closed();
  letSleep();
}

function pause() {
  wantsLive = false;
  stop();
  setState('paused');
  showPaused(true);
  session?.settle();
  say(later('Paused.'));
}

/** The picture broke off: the model stays, and trying again opens the source again. @param {unknown} error */
function loseSource(error) {
  stop();
  const unknown = { title: later('The picture broke off'), what: describeFailure(error), todo: later('Try again.') };
  const words = error instanceof PageError ? error : new PageError(unknown, error);
  if (!session) return say(words.what); // nothing runs yet, and starting tries again
  showProblem({ title: words.title, what: words.what, todo: words.todo, retry: () => void goLive() });
}

function changeSource() {
  if (!session) return picker.preview();
  stop();
  void goLive();
}

/** Settings in the address that are none. */
const notices = () => settings.refused.map(({ name, value, known }) => t('“{given}” was ignored: it is one of {known}.', { given: `${name}=${value}`, known }));

/** @param {boolean} paused */
function showPaused(paused) {
  root.toggleAttribute('data-live', !paused);
  pauseButton.textContent = !paused ? t('Pause') : root.hasAttribute('data-frozen') ? t('Back to live') : t('Resume');
}

// ------------------------------------------------------------------------------------------------ one picture at a time

/**
 * Caption one frame, also while the page is paused: then the source is opened for it and let go again.
 *
 * @param {Asking[]} askings
 * @returns {Promise<Shot | null>} null: stopped, or it failed and the page says so
 */
async function shoot(askings) {
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

/** @param {Asking[]} askings */
async function describe(askings) {
  if (!canWork()) return;
  if (conversation.open) return ask(prompts.preset.text, t(prompts.preset.label));
  const shot = await shoot(askings);
  if (shot) speaking.answer(wholeSentence(shot.text, shot.cut));
}

const length = () => /** @type {Length} */ (settings.get('length'));
const describeNow = () => void describe([prompts.asking(length())]);
const moreDetail = () => void describe(prompts.detailed());

function repeat() {
  if (speaking.last || view.text) speaking.answer(speaking.last || wholeSentence(view.text));
  else speaking.answer(t('There is no caption yet.'), { own: true });
}

async function whatChanged() {
  if (!canWork() || conversation.open) return;
  const asking = changes.asking ?? prompts.asking(length());
  const shot = await shoot([asking]);
  if (!shot) return;
  const compared = byRole('compared', HTMLElement);
  const words = changes.compare(shot, asking);
  compared.textContent = words;
  compared.hidden = false;
  speaking.answer(words, { own: true });
}

/** Whether there is a model and nothing in the way of using it. */
const canWork = () => session !== null && ['running', 'paused', 'ready'].includes(getState());

// ------------------------------------------------------------------------------------------------ a frozen picture

async function freeze() {
  if (!canWork() || conversation.open) return;
  if (!loop.live && !(await openSource())) return;
  loop.stop();
  try {
    const picture = await loop.alone((signal) => source.grab(signal, settings.number('size')));
    stop();
    source.cover(picture);
    conversation.begin(picture);
  } catch (error) {
    if (!isAbort(error)) loseSource(error);
    return;
  }
  wantsLive = false;
  root.toggleAttribute('data-frozen', true);
  setState('paused');
  showPaused(true);
  say(later('The picture is frozen. Ask about it.'));
  question.value = '';
  question.focus();
}

function leaveFrozen() {
  if (!conversation.open) return;
  conversation.end(session);
  source.cover(null);
  root.toggleAttribute('data-frozen', false);
  root.toggleAttribute('data-answering', false);
}

/** @param {string} prompt @param {string} shown */
async function ask(prompt, shown) {
  if (!session || !prompt) return;
  root.toggleAttribute('data-answering', true);
  const { text, max_new_tokens } = prompts.ask(prompt, length());
  try {
    const result = await conversation.ask(session, { prompt: text, shown, max_new_tokens });
    metrics.finished(result);
    root.dataset.reused = String(result.reused_tokens);
    log.add(result.text, shown);
    speaking.answer(wholeSentence(result.text, result.cut));
  } catch (error) {
    if (isAbort(error)) return;
    const name = error instanceof Error ? error.name : '';
    if (name === 'ConversationFull') speaking.answer(t('This conversation is as long as the model can follow. Freeze a new picture.'), { own: true });
    if (name === 'ConversationFull') say(later('This conversation is as long as the model can follow. Freeze a new picture.'));
    else session?.fail(error);
  } finally {
    root.toggleAttribute('data-answering', false);
  }
}

// ------------------------------------------------------------------------------------------------ controls

/** What is asked has changed, without a restart. */
function asksAnew() {
  if (conversation.open) return;
  prompts.takeField();
  loop.changed();
}

function togglePause() {
  if (getState() === 'paused') void goLive();
  else if (canWork()) pause();
}

const keys = bindControls({
  describeNow,
  moreDetail,
  repeat,
  whatChanged: () => void whatChanged(),
  togglePause,
  freeze: () => void freeze(),
  stopAnswer: () => conversation.stop(),
  choosePreset() {
    prompts.takePreset();
    loop.changed();
  },
  submitQuestion() {
    const asked = question.value.trim();
    if (!conversation.open) return asksAnew();
    question.value = '';
    void ask(asked, asked);
  },
  emptyQuestion() {
    if (prompts.question) asksAnew(); // back to the preset
  },
  save: (kind) => void log.download(kind).catch((error) => say(describeFailure(error))),
  copyFigures: () => void copy(metrics.asText(), later('Copied.')),
  copyLink() {
    const link = settings.link({ source: picker.name, prompt: prompts.preset.id, q: prompts.question });
    void copy(link, later('The link is copied.'));
  },
});

/** @param {string} text @param {Text} done */
async function copy(text, done) {
  await navigator.clipboard.writeText(text).then(
    () => say(done),
    () => say(later('The browser does not let this page copy. This is the text: {text}', { text })),
  );
}

settings.bind(document);
settings.onChange(apply);
for (const name of ['text', 'keys']) apply(name);
onLanguage(() => showPaused(!root.hasAttribute('data-live')));

/** @param {string} name of a setting */
function apply(name) {
  if (name === 'text') root.dataset.text = settings.get('text');
  if (name === 'keys') keys.enabled = settings.get('keys') === '1';
  if (name === 'length' || name === 'gate') loop.changed();
  if (name === 'size' && source.kind === 'camera' && loop.live) changeSource();
}

/** Each preset as a button, for asking about a frozen picture. */
function showQuick() {
  byRole('quick', HTMLElement).replaceChildren(...prompts.presets.map(({ label, text }) => {
    const quick = Object.assign(document.createElement('button'), { type: 'button', className: 'quiet', textContent: t(label) });
    quick.onclick = () => void ask(text, t(label));
    return quick;
  }));
}
onLanguage(showQuick);

void openSession(/** @type {import('../../shared/session.js').Page<CaptionCalls>} */ ({
  worker: new URL('./worker.js', import.meta.url),
  sources: ({ sample }) => (sample?.video ? ['camera', 'screen', 'sample'] : ['camera', 'screen']),
  allowVideoUrl: true,
  recycle_after: 400,
  onOffer(opened) {
    picker.show(opened);
    prompts.show(opened.manifest, { id: params.get('prompt'), question: opened.query.q ?? '' });
    showQuick();
    metrics.show('model', opened.manifest.name);
  },
  onReady(opened) {
    session = opened;
    metrics.show('runs-on', opened.label);
    if (wantsLive) return void goLive();
    setState('paused'); // it was brought back while the visitor had paused, or froze a picture
    showPaused(true);
  },
  onLost() {
    session = null;
    stop();
    // No picture of the visitor stays behind, but for one that they froze: the conversation about it goes on.
    if (picker.value === 'camera' && !conversation.open) source.close();
  },
  onSmaller: () => settings.set('size', '320'),
  onDelete: () => settings.clear(),
}));

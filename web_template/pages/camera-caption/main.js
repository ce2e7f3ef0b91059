/**
 * @file Camera captions, page only: source → newest frame → worker → caption, again and again until paused.
 *
 * The model lives in worker.js, the camera in sources.js, the words on screen in captions.js.
 */

/** @import { CaptionCalls, Prompt } from '../../shared/protocol.js' */

import { Announcer } from '../../shared/announcer.js';
import { isAbort } from '../../shared/bridge.js';
import { absolute } from '../../shared/config.js';
import { planLabel } from '../../shared/device.js';
import { Session, openSession } from '../../shared/session.js';
import { PageError, byRole, clearProblem, getState, say, setState, showProblem } from '../../shared/state.js';
import { CaptionView } from './captions.js';
import { Source, listCameras } from './sources.js';

/** After so many failures in a row the model is given up; fewer are only reported. */
const MOST_FAILURES = 3;
const WAIT_AFTER_FAILURE_MS = 500;
/** A fast device gets no more than this out of a caption: words that change faster cannot be read, and cost power. */
const SHORTEST_ROUND_MS = 400;

const view = new CaptionView();
const announcer = new Announcer(byRole('announcer', HTMLElement));
const source = new Source(byRole('video', HTMLVideoElement), loseSource);
const sourceChoice = byRole('source', HTMLFieldSetElement);
const cameraChoice = byRole('camera', HTMLSelectElement);
const promptChoice = byRole('prompt', HTMLFieldSetElement);
const question = byRole('question', HTMLInputElement);
const pauseButton = byRole('pause', HTMLButtonElement);

/** @type {Session<CaptionCalls> | null} */
let session = null;
let live = false;
/** Each start has its number; a loop or an opening that is no longer the newest ends. */
let newest = 0;
/** Settles when the loop before has taken its last answer: the worker gets one request at a time. */
let ended = Promise.resolve();
/** Stops the caption in progress. */
let current = new AbortController();
/** What is asked about every frame; `shown` is the question where it is the visitor's own. */
let asking = { text: '', shown: '' };

// ------------------------------------------------------------------------------------------------ the loop

/** @param {number} mine @param {Promise<void>} before */
async function run(mine, before) {
  await before;
  let failures = 0;
  while (live && session && mine === newest) {
    await untilVisible();
    current = new AbortController();
    const { text: prompt, shown } = asking;
    const next = pause(SHORTEST_ROUND_MS);
    try {
      const picture = await source.grab(current.signal);
      if (mine !== newest || current.signal.aborted) {
        picture.close();
        continue;
      }
      view.begin();
      const result = await session.request(
        'caption',
        { picture, prompt, max_new_tokens: session.manifest.generation?.max_new_tokens ?? 64 },
        { transfer: [picture], signal: current.signal, onEvent: (event) => event.kind === 'text' && view.append(event.text) },
      );
      view.finish(result, shown);
      announcer.announce(result.text);
      if (failures) say('Live.');
      failures = 0;
      await Promise.race([next, aborted(current.signal)]);
    } catch (error) {
      view.abandon();
      if (isAbort(error)) continue;
      if (!live || mine !== newest) return;
      if (error instanceof PageError) {
        loseSource(error); // the picture's fault, not the model's
        return;
      }
      failures += 1;
      if (failures >= MOST_FAILURES) {
        session.fail(error);
        return;
      }
      say(`A picture could not be captioned (${error instanceof Error ? error.message : String(error)}). Trying the next one.`);
      await pause(WAIT_AFTER_FAILURE_MS);
    }
  }
}

/** @param {number} time_ms */
const pause = (time_ms) => new Promise((resolve) => setTimeout(resolve, time_ms));

/** Settles when what is asked has changed, or the page was paused. @param {AbortSignal} signal */
const aborted = (signal) => new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));

/** A hidden page captions nothing. */
async function untilVisible() {
  while (document.hidden) await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
}

/** Open the chosen source and caption it. */
async function goLive() {
  if (!session) return;
  const mine = ++newest;
  const kind = chosenSource();
  clearProblem();
  setState('ready'); // from here on the button pauses: the visitor may not want to wait for the camera
  showPaused(false);
  say(kind === 'camera' ? 'Waiting for the camera…' : 'Opening the video…');
  try {
    const device_id = cameraChoice.value || null;
    await source.open(kind === 'camera' ? { kind, device_id } : { kind: 'video', url: kind });
    if (kind === 'camera') await showCameras();
  } catch (error) {
    if (mine === newest && !isAbort(error)) loseSource(error);
    return;
  }
  if (!session || mine !== newest) return;
  cameraChoice.hidden = kind !== 'camera' || cameraChoice.options.length < 2;
  live = true;
  setState('running');
  say(['Live.', ...session.notices].join(' '));
  ended = run(mine, ended);
}

function stop() {
  live = false;
  newest += 1;
  current.abort();
  announcer.silence();
  view.resetRate();
  source.pause();
}

/** The picture broke off: the model stays, and trying again opens the source again. @param {unknown} error */
function loseSource(error) {
  stop();
  if (!session) return; // nothing runs yet; starting will try again and say so
  const unknown = { title: 'The picture broke off', what: String(error), todo: 'Try again.' };
  const words = error instanceof PageError ? error : new PageError(unknown, error);
  showProblem({ title: words.title, what: words.message, todo: words.todo, retry: () => void goLive() });
}

// ------------------------------------------------------------------------------------------------ controls

const chosenSource = () => /** @type {HTMLInputElement | null} */ (sourceChoice.querySelector('input:checked'))?.value ?? 'camera';

/** @param {string} name @param {string} value @param {string} label @param {boolean} checked */
function makeChoice(name, value, label, checked) {
  const wrapper = document.createElement('label');
  const input = Object.assign(document.createElement('input'), { type: 'radio', name, value, checked });
  const text = document.createElement('span');
  text.textContent = label;
  wrapper.append(input, text);
  return wrapper;
}

/** @param {Session<CaptionCalls>} opened */
function showSources({ config, query }) {
  const sample = config.sample?.video ? absolute(config.sample.video) : null;
  const own = query.source && query.source !== 'camera' && query.source !== 'sample' ? absolute(query.source) : null;
  const chosen = own ?? (query.source === 'camera' || !sample ? 'camera' : sample);
  const choices = sourceChoice.querySelector('div') ?? sourceChoice;
  choices.replaceChildren();
  if (own) choices.append(makeChoice('source', own, 'Video', true));
  if (sample) choices.append(makeChoice('source', sample, 'Sample', chosen === sample));
  choices.append(makeChoice('source', 'camera', 'Camera', chosen === 'camera'));
  if (chosen !== 'camera') source.preview(chosen);
}

async function showCameras() {
  const { device_id } = source;
  const cameras = await listCameras();
  const options = cameras.map(({ deviceId, label }, i) => new Option(label || `Camera ${i + 1}`, deviceId));
  cameraChoice.replaceChildren(...options);
  // The one that the browser chose, not the first of the list: a phone would come back from a pause with another.
  cameraChoice.value = device_id;
}

/** @param {Prompt[]} prompts */
function showPrompts(prompts) {
  const choices = promptChoice.querySelector('div') ?? promptChoice;
  choices.replaceChildren(...prompts.map(({ id, label }, i) => makeChoice('prompt', id, label, i === 0)));
  promptChoice.hidden = prompts.length === 0;
}

/** Take over what is asked; a caption of the old question in progress is stopped. */
function readPrompt() {
  const own = question.value.trim();
  const checked = /** @type {HTMLInputElement | null} */ (promptChoice.querySelector('input:checked'));
  const preset = session?.manifest.prompts.find(({ id }) => id === checked?.value);
  const next = own ? { text: own, shown: own } : { text: preset?.text ?? 'Describe the picture.', shown: '' };
  if (next.text === asking.text) return;
  asking = next;
  promptChoice.classList.toggle('overruled', own !== '');
  current.abort();
}

/** @param {boolean} paused */
function showPaused(paused) {
  pauseButton.textContent = paused ? 'Resume' : 'Pause';
  document.documentElement.toggleAttribute('data-live', !paused);
}

pauseButton.onclick = () => {
  if (getState() === 'paused') {
    void goLive();
  } else {
    stop();
    setState('paused');
    showPaused(true);
    session?.settle();
    say('Paused.');
  }
};
sourceChoice.onchange = () => {
  cameraChoice.hidden = true;
  if (session) {
    stop();
    void goLive();
  } else if (chosenSource() === 'camera') source.close();
  else source.preview(chosenSource());
};
cameraChoice.onchange = () => {
  stop();
  void goLive();
};
promptChoice.onchange = () => {
  question.value = '';
  readPrompt();
};
question.form?.addEventListener('submit', (event) => {
  event.preventDefault(); // CSP's form-action 'none' forbids it anyway
  readPrompt();
});
question.oninput = () => {
  if (!question.value) readPrompt(); // emptied: back to the preset
};

void openSession(/** @type {import('../../shared/session.js').Page<CaptionCalls>} */ ({
  worker: new URL('./worker.js', import.meta.url),
  sources: ({ sample }) => (sample?.video ? ['camera', 'sample'] : ['camera']),
  allowVideoUrl: true,
  onOffer(opened) {
    showSources(opened);
    showPrompts(opened.manifest.prompts);
    question.value = opened.query.q ?? '';
  },
  onReady(opened) {
    session = opened;
    readPrompt();
    view.showDevice(planLabel(opened.plan));
    void goLive();
  },
  onLost() {
    session = null;
    stop();
    if (chosenSource() === 'camera') source.close(); // no picture of the visitor stays behind
  },
}));

/**
 * @file What a visitor can do with a model, by button, field or key. Comes along while the model is being downloaded.
 */

/** @import { Text } from '../../shared/protocol.js' */
/** @import { Asking } from './prompts.js' */

import { later, onLanguage, t } from '../../shared/language.js';
import { describeFailure } from '../../shared/problems.js';
import { wholeSentence } from '../../shared/sentences.js';
import { byRole, getState, say } from '../../shared/state.js';
import { Changes } from './changes.js';
import { bindControls } from './controls.js';
import { ask, freeze } from './frozen.js';
import { canWork, conversation, goLive, length, log, loop, metrics, pause, prompts, reopen, root, shoot, speaking, view } from './live.js';
import { picker, settings, source } from './stage.js';

export { lost, ready } from './live.js';

const changes = new Changes();
const question = byRole('question', HTMLInputElement);

/** @param {Asking[]} askings */
async function describe(askings) {
  if (!canWork()) return;
  if (conversation.open) return ask(prompts.preset.text, t(prompts.preset.label));
  const shot = await shoot(askings);
  if (shot) speaking.answer(wholeSentence(shot.text, shot.cut), { scene: shot.scene });
}

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
  speaking.answer(words, { own: true, scene: shot.scene });
}

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
  describeNow: () => void describe([prompts.asking(length())]),
  moreDetail: () => void describe(prompts.detailed()),
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
  // Pages on plain http have no clipboard at all.
  const copied = navigator.clipboard?.writeText(text).then(() => true, () => false) ?? false;
  say((await copied) ? done : later('The browser does not let this page copy. This is the text: {text}', { text }));
}

settings.bind(document);
settings.onChange(apply);
for (const name of ['text', 'keys']) apply(name);

/** @param {string} name of a setting */
function apply(name) {
  if (name === 'text') root.dataset.text = settings.get('text');
  if (name === 'keys') keys.enabled = settings.get('keys') === '1';
  if (name === 'length' || name === 'gate') loop.changed();
  if (name === 'size' && source.kind === 'camera' && loop.live) reopen();
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
prompts.onShow = showQuick;

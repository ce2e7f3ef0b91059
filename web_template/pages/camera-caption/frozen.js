/**
 * @file A frozen picture: taken, asked about, and the answers shown and spoken. conversation.js has the turns.
 */

import { isAbort } from '../../shared/bridge.js';
import { later, t } from '../../shared/language.js';
import { wholeSentence } from '../../shared/sentences.js';
import { byRole, keepFocus, say } from '../../shared/state.js';
import {
  canWork, conversation, length, log, loop, loseSource, metrics, nowFrozen, openSource, prompts, root, session, speaking, stop,
} from './live.js';
import { settings, source } from './stage.js';

const question = byRole('question', HTMLInputElement);

export async function freeze() {
  if (!canWork() || conversation.open) return;
  if (!loop.live && !(await openSource())) return;
  loop.stop();
  try {
    const { picture, coarse } = await loop.alone((signal) => source.grab(signal, settings.number('size')));
    stop();
    source.cover(picture);
    conversation.begin(picture, loop.sceneOf(coarse));
  } catch (error) {
    if (!isAbort(error)) loseSource(error);
    return;
  }
  nowFrozen();
  say(later('The picture is frozen. Ask about it.'));
  question.value = '';
  question.focus();
}

/** @param {string} prompt @param {string} shown */
export async function ask(prompt, shown) {
  if (!session || !prompt) return;
  showAnswering(true);
  const { text, max_new_tokens } = prompts.ask(prompt, length());
  try {
    const result = await conversation.ask(session, { prompt: text, shown, max_new_tokens });
    metrics.finished(result);
    root.dataset.reused = String(result.reused_tokens);
    log.add(result.text, shown);
    speaking.answer(wholeSentence(result.text, result.cut), { scene: conversation.scene });
  } catch (error) {
    if (isAbort(error)) return;
    const name = error instanceof Error ? error.name : '';
    if (name === 'ConversationFull') speaking.answer(t('This conversation is as long as the model can follow. Freeze a new picture.'), { own: true });
    if (name === 'ConversationFull') say(later('This conversation is as long as the model can follow. Freeze a new picture.'));
    else session?.fail(error);
  } finally {
    showAnswering(false);
  }
}

/** @param {boolean} answering */
function showAnswering(answering) {
  keepFocus(() => root.toggleAttribute('data-answering', answering), question);
}

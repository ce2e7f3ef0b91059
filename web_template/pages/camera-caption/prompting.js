/**
 * @file Worker only: how a question about a picture is put to each family of models, and how the next question is put
 * to one that has answered already.
 */

/** @import { Turn } from '../../shared/protocol.js' */
/** @import { Transformers } from '../../shared/runtime.js' */
/** @import { PreTrainedTokenizer, Processor, RawImage, Tensor } from '@huggingface/transformers' */

/** Idefics3's processor, which is SmolVLM's too, takes the text first, and its template goes through parts of a message. */
const takesParts = (/** @type {Processor} */ processor) => 'fake_image_token' in processor;

/**
 * Make a chat of it. The picture stands before the first question.
 *
 * @param {Processor} processor @param {Turn[]} history @param {string} prompt
 * @returns {string} up to where the model's next words go
 */
function render(processor, history, prompt) {
  const parts = takesParts(processor);
  const image_token = processor.config?.image_token ?? '<image>';
  const say = (/** @type {string} */ text, /** @type {boolean} */ first) => {
    if (parts) return [...(first ? [{ type: 'image' }] : []), { type: 'text', text }];
    return first ? `${image_token}\n${text}` : text;
  };
  const messages = [...history, { question: prompt, answer: '' }].flatMap(({ question, answer }, i) => [
    { role: 'user', content: say(question, i === 0) },
    ...(i < history.length ? [{ role: 'assistant', content: say(answer, false) }] : []),
  ]);
  return /** @type {string} */ (processor.apply_chat_template(/** @type {any} */ (messages), { add_generation_prompt: true }));
}

/**
 * The inputs of a chat that the model has not seen.
 *
 * @param {Processor} processor
 * @param {RawImage} picture at the model's size
 * @param {Turn[]} history oldest first
 * @param {string} prompt
 * @returns {Promise<any>}
 */
export async function firstInputs(processor, picture, history, prompt) {
  const text = render(processor, history, prompt);
  // SmolVLM's cuts pictures into tiles unless told not to: one is what a live caption wants.
  return takesParts(processor) ? processor(text, picture, { do_image_splitting: false }) : processor(picture, text, { add_special_tokens: false });
}

/** Stands in for the answer, to see what the template writes behind one. */
const MARK = 'answer-7f3a';

/**
 * The inputs of a further question to a model that has answered: all tokens so far, the new ones, and what was computed.
 *
 * @param {{ processor: Processor, tokenizer: PreTrainedTokenizer, transformers: Transformers }} model
 * @param {{ sequences: Tensor, past_key_values: any }} going
 * @param {string} prompt
 * @returns {any}
 */
export function nextInputs({ processor, tokenizer, transformers }, { sequences, past_key_values }, prompt) {
  const chat = render(processor, [{ question: 'question', answer: MARK }], prompt);
  const behind = chat.slice(chat.indexOf(MARK) + MARK.length);
  /** @type {Tensor} */
  let asked = tokenizer(behind, { add_special_tokens: false }).input_ids;
  const before = /** @type {number} */ (sequences.dims.at(-1));
  // The end of the turn is there already where the model wrote it itself.
  if (sequences.data[before - 1] === asked.data[0]) asked = asked.slice(null, [1, /** @type {number} */ (asked.dims.at(-1))]);
  const input_ids = transformers.cat([sequences, asked], 1);
  const attention_mask = new transformers.Tensor('int64', new BigInt64Array(input_ids.size).fill(1n), input_ids.dims);
  return { input_ids, attention_mask, past_key_values };
}

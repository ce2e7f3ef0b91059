/**
 * @file Camera captions, model only: one picture and one question in, a streamed sentence out. No DOM.
 *
 * One request at a time is the page's rule; this worker does not queue. How a question is put to a family of models
 * stands in prompting.js.
 */

/** @import { AskResult, CaptionCalls, CaptionResult, LoadJob, Manifest } from '../../shared/protocol.js' */
/** @import { Options, Transformers } from '../../shared/runtime.js' */
/** @import { RawImage, Tensor } from '@huggingface/transformers' */

import { blankPicture, keepSize, readPicture } from '../../shared/picture.js';
import { withRuntime } from '../../shared/runtime.js';
import { firstSentence } from '../../shared/sentences.js';
import { serve } from '../../shared/serve.js';
import { firstInputs, nextInputs } from './prompting.js';

/** @type {Awaited<ReturnType<typeof loadModel>> | null} */
let loaded = null;

/**
 * The conversation about a frozen picture: all its tokens, and what the decoder has computed of them but the last.
 *
 * @type {{ id: number, turns: number, sequences: Tensor, past_key_values: any } | null}
 */
let kept = null;

/** The page has to send the picture and all earlier turns once more: this worker does not have them. */
class ConversationLost extends Error {
  name = 'ConversationLost';
}

/** The picture and the turns together are as long as the model can take. */
class ConversationFull extends Error {
  name = 'ConversationFull';
}

/** The question leaves no room for an answer. */
class QuestionTooLong extends Error {
  name = 'QuestionTooLong';
}

/** @param {LoadJob} job @param {Transformers} transformers @param {Options} options */
async function loadModel(job, transformers, options) {
  const { AutoProcessor, AutoModelForImageTextToText } = transformers;
  const [processor, model] = await Promise.all([
    AutoProcessor.from_pretrained(job.model_name),
    AutoModelForImageTextToText.from_pretrained(job.model_name, options),
  ]);
  if (!processor.tokenizer) throw new Error('The processor of this model came without a tokenizer.');
  keepSize(processor);
  yieldBetweenTokens(model);
  return { transformers, processor, tokenizer: processor.tokenizer, model, manifest: job.manifest };
}

/**
 * Let messages in between two tokens. On WASM a whole generation is one task of the event loop (every `await` in it is
 * already settled), so that a request to stop would be read only when there is nothing left to stop.
 *
 * @param {{ forward: (inputs: any) => Promise<any> }} model
 */
function yieldBetweenTokens(model) {
  const forward = model.forward.bind(model);
  const channel = new MessageChannel();
  /** @type {(() => void)[]} */
  const waiting = [];
  channel.port1.onmessage = () => waiting.shift()?.();
  model.forward = async (inputs) => {
    await new Promise((resolve) => {
      waiting.push(() => resolve(null));
      channel.port2.postMessage(null);
    });
    return forward(inputs);
  };
}

/**
 * Go on from these inputs, greedily.
 *
 * @param {NonNullable<typeof loaded>} model
 * @param {{ input_ids: Tensor }} inputs with the picture, or with what was computed before
 * @param {{ max_new_tokens: number, brief?: boolean, signal?: AbortSignal, onText?: (text: string) => void, started: number }} options
 *   `started` is when the question came, in `performance.now()`
 * @returns {Promise<CaptionResult & { sequences: Tensor, past_key_values: any }>} the caller disposes `past_key_values`
 */
async function generate({ transformers, tokenizer, model }, inputs, { max_new_tokens, brief = false, signal, onText, started }) {
  const { InterruptableStoppingCriteria, TextStreamer } = transformers;
  const stop = new InterruptableStoppingCriteria();
  const interrupt = () => stop.interrupt();
  let first_token_ms = 0;
  let tokens = 0;
  let written = '';
  const streamer = new TextStreamer(tokenizer, {
    skip_prompt: true,
    skip_special_tokens: true,
    callback_function: (piece) => {
      written += piece;
      if (brief && firstSentence(written)) interrupt();
      onText?.(piece);
    },
    token_callback_function: () => {
      first_token_ms ||= performance.now() - started;
      tokens += 1;
    },
  });
  signal?.addEventListener('abort', interrupt);
  try {
    const options = { max_new_tokens, do_sample: false, streamer, stopping_criteria: stop, return_dict_in_generate: true };
    const output = /** @type {any} */ (await model.generate({ ...inputs, ...options }));
    /** @type {Tensor} */
    const sequences = output.sequences;
    if (signal?.aborted) await output.past_key_values.dispose();
    signal?.throwIfAborted();
    const prompt_length = /** @type {number} */ (inputs.input_ids.dims.at(-1));
    const answer = sequences.slice(null, [prompt_length, /** @type {number} */ (sequences.dims.at(-1))]);
    const [sentence = ''] = tokenizer.batch_decode(answer, { skip_special_tokens: true });
    const text = (brief && firstSentence(sentence, true)) || sentence.trim();
    const cut = tokens >= max_new_tokens && !stop.interrupted;
    return { text, tokens, first_token_ms, total_ms: performance.now() - started, cut, sequences, past_key_values: output.past_key_values };
  } finally {
    signal?.removeEventListener('abort', interrupt);
  }
}

/**
 * Say something about a picture and keep nothing.
 *
 * @param {NonNullable<typeof loaded>} model
 * @param {RawImage} picture at the model's size
 * @param {{ prompt: string, max_new_tokens: number, brief?: boolean, signal?: AbortSignal, onText?: (text: string) => void }} options
 * @returns {Promise<CaptionResult>}
 */
async function caption(model, picture, { prompt, ...options }) {
  const started = performance.now();
  const inputs = await firstInputs(model.processor, picture, [], prompt);
  const limit = model.manifest.context.text_tokens || Infinity;
  const max_new_tokens = Math.min(options.max_new_tokens, limit - inputs.input_ids.dims.at(-1));
  if (max_new_tokens < 1) throw new QuestionTooLong('The question is longer than the model can follow.');
  const { sequences: _sequences, past_key_values, ...result } = await generate(model, inputs, { ...options, max_new_tokens, started });
  await past_key_values.dispose();
  return result;
}

/** Free what is kept of a conversation. */
async function forget() {
  const old = kept;
  kept = null;
  await old?.past_key_values.dispose();
}

/**
 * @param {NonNullable<typeof loaded>} model
 * @param {CaptionCalls['ask']['payload']} payload
 * @param {{ signal: AbortSignal, onText: (text: string) => void }} options
 * @returns {Promise<AskResult>}
 */
async function ask(model, { conversation, history, prompt, max_new_tokens, picture }, { signal, onText }) {
  const started = performance.now();
  const { processor, manifest, transformers } = model;
  const going = kept?.id === conversation && kept.turns === history.length ? kept : null;
  if (!going && !picture) throw new ConversationLost('The picture of this conversation is not here any more.');
  if (!going) await forget();
  const image = picture && readPicture(picture, manifest.image, transformers.RawImage);
  picture?.close();
  const inputs = going
    ? nextInputs(model, going, prompt)
    : await firstInputs(processor, /** @type {RawImage} */ (image), history, prompt);
  const reused_tokens = going ? going.past_key_values.get_seq_length() : 0;
  const limit = manifest.context.text_tokens;
  if (limit && inputs.input_ids.dims.at(-1) + max_new_tokens > limit) {
    throw new ConversationFull('This conversation is as long as the model can follow. Freeze a new picture.');
  }
  // The tensors of the turn before are replaced while this one runs: if it breaks off they are of no use any more.
  kept = null;
  const { sequences, past_key_values, ...result } = await generate(model, inputs, { max_new_tokens, signal, onText, started });
  kept = { id: conversation, turns: history.length + 1, sequences, past_key_values };
  return { ...result, reused_tokens };
}

/** @param {Manifest} manifest */
const firstPrompt = (manifest) => manifest.prompts[0]?.text ?? 'Describe the picture.';

serve(/** @type {{ [T in keyof CaptionCalls]: import('../../shared/serve.js').Handler<CaptionCalls[T]> }} */ ({
  async load(job, { emit }) {
    const started = performance.now();
    const model = await withRuntime(job, emit, (transformers, options) => loadModel(job, transformers, options));
    if (job.plan.device === 'webgpu') {
      // The first run compiles shaders, and is where a device that cannot run the model says so. WASM has nothing to
      // compile, and a run costs what a caption does: there the visitor's own picture comes first.
      emit({ kind: 'phase', phase: 'warm-up' });
      const blank = blankPicture(job.manifest.image, model.transformers.RawImage);
      await caption(model, blank, { prompt: firstPrompt(job.manifest), max_new_tokens: 2 });
    }
    loaded = model;
    return { load_ms: performance.now() - started };
  },

  async caption({ picture, prompt, max_new_tokens, brief }, { signal, emit }) {
    if (!loaded) throw new Error('The model is not loaded.');
    const image = readPicture(picture, loaded.manifest.image, loaded.transformers.RawImage);
    picture.close();
    return caption(loaded, image, { prompt, max_new_tokens, brief, signal, onText: (text) => emit({ kind: 'text', text }) });
  },

  async ask(payload, { signal, emit }) {
    if (!loaded) throw new Error('The model is not loaded.');
    return ask(loaded, payload, { signal, onText: (text) => emit({ kind: 'text', text }) });
  },

  async forget() {
    await forget();
    return {};
  },
}));

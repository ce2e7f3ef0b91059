/**
 * @file Camera captions, model only: one picture and one question in, a streamed sentence out. No DOM.
 *
 * One request at a time is the page's rule; this worker does not queue.
 */

/** @import { CaptionCalls, LoadJob, Manifest } from '../../shared/protocol.js' */
/** @import { Options, Transformers } from '../../shared/runtime.js' */
/** @import { Processor, RawImage } from '@huggingface/transformers' */

import { blankPicture, keepSize, readPicture } from '../../shared/picture.js';
import { withRuntime } from '../../shared/runtime.js';
import { serve } from '../../shared/serve.js';

/** @type {Awaited<ReturnType<typeof loadModel>> | null} */
let loaded = null;

/** @param {LoadJob} job @param {Transformers} transformers @param {Options} options */
async function loadModel(job, transformers, options) {
  const { AutoProcessor, AutoModelForImageTextToText } = transformers;
  const processor = await AutoProcessor.from_pretrained(job.model_name);
  const model = await AutoModelForImageTextToText.from_pretrained(job.model_name, options);
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

/** @param {Processor} processor @param {RawImage} picture @param {string} prompt */
function askLlava(processor, picture, prompt) {
  /** @type {string} */
  const image_token = processor.config.image_token ?? '<image>';
  const text = processor.apply_chat_template([{ role: 'user', content: `${image_token}\n${prompt}` }], { add_generation_prompt: true });
  return processor(picture, text, { add_special_tokens: false });
}

/**
 * Idefics3's processor, which is SmolVLM's too, takes the text first, and its template goes through the parts of a
 * message. It cuts pictures into tiles unless told not to: one is what a live caption wants.
 *
 * @param {Processor} processor @param {RawImage} picture @param {string} prompt
 */
function askIdefics(processor, picture, prompt) {
  const content = [{ type: 'image' }, { type: 'text', text: prompt }];
  const text = processor.apply_chat_template([{ role: 'user', content }], { add_generation_prompt: true });
  return processor(text, picture, { do_image_splitting: false });
}

/**
 * Answer a question about a picture, greedily.
 *
 * @param {NonNullable<typeof loaded>} model
 * @param {RawImage} picture at the model's size
 * @param {{ prompt: string, max_new_tokens: number, signal?: AbortSignal, onText?: (text: string) => void }} options
 */
async function answer({ transformers, processor, tokenizer, model }, picture, { prompt, max_new_tokens, signal, onText }) {
  const { InterruptableStoppingCriteria, TextStreamer } = transformers;
  const started = performance.now();
  const inputs = await ('fake_image_token' in processor ? askIdefics(processor, picture, prompt) : askLlava(processor, picture, prompt));

  let first_token_ms = 0;
  let tokens = 0;
  const streamer = new TextStreamer(tokenizer, {
    skip_prompt: true,
    skip_special_tokens: true,
    callback_function: (piece) => onText?.(piece),
    token_callback_function: () => {
      first_token_ms ||= performance.now() - started;
      tokens += 1;
    },
  });
  const stop = new InterruptableStoppingCriteria();
  const interrupt = () => stop.interrupt();
  signal?.addEventListener('abort', interrupt);
  try {
    const output = await model.generate({ ...inputs, max_new_tokens, do_sample: false, streamer, stopping_criteria: stop });
    signal?.throwIfAborted();
    const sequences = /** @type {import('@huggingface/transformers').Tensor} */ (output);
    /** @type {number} */
    const prompt_length = inputs.input_ids.dims.at(-1);
    const written = sequences.slice(null, [prompt_length, /** @type {number} */ (sequences.dims.at(-1))]);
    const [sentence = ''] = tokenizer.batch_decode(written, { skip_special_tokens: true });
    return { text: sentence.trim(), tokens, first_token_ms, total_ms: performance.now() - started };
  } finally {
    signal?.removeEventListener('abort', interrupt);
  }
}

/** @param {Manifest} manifest */
const firstPrompt = (manifest) => manifest.prompts[0]?.text ?? 'Describe the picture.';

serve(/** @type {{ [T in keyof CaptionCalls]: import('../../shared/serve.js').Handler<CaptionCalls[T]> }} */ ({
  async load(job, { emit }) {
    const started = performance.now();
    const model = await withRuntime(job, emit, (transformers, options) => loadModel(job, transformers, options));
    // The first run compiles shaders, and is where a device that cannot run the model says so.
    emit({ kind: 'phase', phase: 'warm-up' });
    const blank = blankPicture(job.manifest.image, model.transformers.RawImage);
    await answer(model, blank, { prompt: firstPrompt(job.manifest), max_new_tokens: 2 });
    loaded = model;
    return { load_ms: performance.now() - started };
  },

  async caption({ picture, prompt, max_new_tokens }, { signal, emit }) {
    if (!loaded) throw new Error('The model is not loaded.');
    const image = readPicture(picture, loaded.manifest.image, loaded.transformers.RawImage);
    picture.close();
    return answer(loaded, image, { prompt, max_new_tokens, signal, onText: (text) => emit({ kind: 'text', text }) });
  },
}));

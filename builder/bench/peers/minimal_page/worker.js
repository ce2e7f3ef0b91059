/** @file The model, by transformers.js as its documentation shows it: files from its hub, kept by its own cache. */

import { AutoModelForImageTextToText, AutoProcessor, RawImage, TextStreamer, env } from './runtime/transformers.min.js';

env.remoteHost = new URL('./', location.href).href;
env.remotePathTemplate = 'models/{model}/';
env.backends.onnx.wasm.wasmPaths = new URL('./runtime/', location.href).href;

let [processor, model, prompt, max_new_tokens] = [];

async function load(job) {
  ({ prompt, max_new_tokens } = job);
  processor = await AutoProcessor.from_pretrained(job.model);
  model = await AutoModelForImageTextToText.from_pretrained(job.model, { dtype: job.dtype, device: job.device });
  self.postMessage({ type: 'ready' });
}

async function generate({ data, width, height }) {
  const image = new RawImage(data, width, height, 4).rgb();
  const messages = [{ role: 'user', content: `<image>\n${prompt}` }];
  const text = processor.apply_chat_template(messages, { add_generation_prompt: true });
  const inputs = await processor(image, text, { add_special_tokens: false });
  let written = '';
  const streamer = new TextStreamer(processor.tokenizer, {
    skip_prompt: true,
    skip_special_tokens: true,
    callback_function: (piece) => self.postMessage({ type: 'text', text: (written += piece) }),
  });
  const output = await model.generate({ ...inputs, max_new_tokens, do_sample: false, streamer });
  const answer = output.slice(null, [inputs.input_ids.dims.at(-1), null]);
  const [sentence] = processor.batch_decode(answer, { skip_special_tokens: true });
  self.postMessage({ type: 'done', text: sentence });
}

self.onmessage = async ({ data }) => {
  try {
    await (data.type === 'load' ? load(data) : generate(data));
  } catch (error) {
    self.postMessage({ type: 'error', message: String(error) });
  }
};

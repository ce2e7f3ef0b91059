/**
 * @file Loads a web model with transformers.js in Node, as a page would, and prints one JSON line of answers.
 * Arguments: a JSON object {models, name, dtype, task, size, images: [raw RGB file], texts: [string]}.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const request = JSON.parse(process.argv[2]);
const require = createRequire(pathToFileURL(request.web_template + '/'));
const {
  AutoModelForImageTextToText,
  AutoProcessor,
  AutoTokenizer,
  CLIPTextModelWithProjection,
  CLIPVisionModelWithProjection,
  RawImage,
  env,
} = await import(pathToFileURL(require.resolve('@huggingface/transformers')).href);

env.allowRemoteModels = false;
env.localModelPath = request.models;
const options = { dtype: request.dtype, device: 'cpu' };
const images = request.images.map((/** @type {string} */ file) => {
  return new RawImage(new Uint8ClampedArray(readFileSync(file)), request.size, request.size, 3);
});

async function caption() {
  const processor = await AutoProcessor.from_pretrained(request.name);
  const model = await AutoModelForImageTextToText.from_pretrained(request.name, options);
  const answers = [];
  for (const image of images) {
    const messages = [{ role: 'user', content: '<image>\n' + request.texts[0] }];
    const prompt = processor.apply_chat_template(messages, { add_generation_prompt: true });
    const inputs = await processor(image, prompt, { add_special_tokens: false });
    const output = await model.generate({ ...inputs, max_new_tokens: 40, do_sample: false });
    const made = output.slice(null, [inputs.input_ids.dims.at(-1), null]);
    answers.push(processor.batch_decode(made, { skip_special_tokens: true })[0].trim());
  }
  return answers;
}

async function embed() {
  const processor = await AutoProcessor.from_pretrained(request.name);
  const tokenizer = await AutoTokenizer.from_pretrained(request.name);
  const vision = await CLIPVisionModelWithProjection.from_pretrained(request.name, options);
  const text = await CLIPTextModelWithProjection.from_pretrained(request.name, options);
  const { image_embeds } = await vision(await processor(images));
  const ids = tokenizer(request.texts, { padding: 'max_length', max_length: request.context, truncation: true });
  const { text_embeds } = await text(ids);
  return { images: image_embeds.tolist(), texts: text_embeds.tolist() };
}

const answer = request.task === 'image-text-to-text' ? await caption() : await embed();
process.stdout.write(JSON.stringify(answer) + '\n');

/**
 * @file Loads an exported checkpoint with transformers.js in Node, as somebody would who has only its folder, and prints
 * one JSON line of answers. Argument: a JSON object {web_template, models, name, task, image: {file, width, height},
 * texts: [string], new_tokens, pixels_out}. Pictures are raw RGB at exactly the model's size.
 */
import { readFileSync, writeFileSync } from 'node:fs';
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
  SiglipTextModel,
  SiglipVisionModel,
  Tensor,
  cat,
  env,
  pipeline,
} = await import(pathToFileURL(require.resolve('@huggingface/transformers')).href);

env.allowRemoteModels = false;
env.localModelPath = request.models;
const { name, new_tokens } = request;
const { file, width, height } = request.image;
const image = new RawImage(new Uint8ClampedArray(readFileSync(file)), width, height, 3);

/** @param {{ data: Float32Array }} tensor */
const savePixels = (tensor) => writeFileSync(request.pixels_out, new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength));

async function caption() {
  const processor = await AutoProcessor.from_pretrained(name);
  const model = await AutoModelForImageTextToText.from_pretrained(name); // dtypes from the folder's own config
  const [question, follow_up] = request.texts;
  const tiles = ['idefics3', 'smolvlm'].includes(model.config.model_type);
  const content = tiles ? [{ type: 'image' }, { type: 'text', text: question }] : `<image>\n${question}`;
  const prompt = processor.apply_chat_template([{ role: 'user', content }], { add_generation_prompt: true });
  const inputs = tiles
    ? await processor(prompt, [image], { add_special_tokens: false, do_image_splitting: false })
    : await processor(image, prompt, { add_special_tokens: false });
  savePixels(inputs.pixel_values);
  const options = { max_new_tokens: new_tokens, min_new_tokens: new_tokens, do_sample: false };
  const first = await model.generate({ ...inputs, ...options, return_dict_in_generate: true });
  const asked = processor.tokenizer(follow_up, { add_special_tokens: false }).input_ids;
  const input_ids = cat([first.sequences, asked], 1);
  const attention_mask = new Tensor('int64', new BigInt64Array(input_ids.size).fill(1n), input_ids.dims);
  const second = await model.generate({ input_ids, attention_mask, past_key_values: first.past_key_values, ...options });
  const numbers = (/** @type {any} */ tensor) => tensor.tolist()[0].map(Number);
  return { prompt: numbers(inputs.input_ids), first: numbers(first.sequences), asked: numbers(asked), second: numbers(second) };
}

async function compare() {
  const processor = await AutoProcessor.from_pretrained(name);
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const siglip = request.model_type === 'siglip';
  const text_model = await (siglip ? SiglipTextModel : CLIPTextModelWithProjection).from_pretrained(name);
  const vision_model = await (siglip ? SiglipVisionModel : CLIPVisionModelWithProjection).from_pretrained(name);
  const { input_ids } = tokenizer(request.texts, { padding: 'max_length', max_length: request.context, truncation: true });
  const { pixel_values } = await processor(image);
  savePixels(pixel_values);
  const texts = await text_model({ input_ids });
  const images = await vision_model({ pixel_values });
  const classify = await pipeline('zero-shot-image-classification', name);
  const extract = await pipeline('image-feature-extraction', name);
  return {
    input_ids: input_ids.tolist().map((/** @type {bigint[]} */ row) => row.map(Number)),
    texts: (texts.text_embeds ?? texts.pooler_output).tolist(),
    images: (images.image_embeds ?? images.pooler_output).tolist(),
    scores: await classify(image, request.texts, { hypothesis_template: '{}' }),
    features: (await extract(image, { pool: siglip })).tolist(),
  };
}

const answer = request.task === 'image-text-to-text' ? await caption() : await compare();
process.stdout.write(JSON.stringify(answer) + '\n');

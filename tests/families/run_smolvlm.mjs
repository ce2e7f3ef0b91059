/**
 * @file Cuts pictures into tiles and captions them with transformers.js in Node; prints one JSON line. Argument: a JSON
 * object {web_template, models, name, pictures: [{file, width, height}], options, question, new_tokens, pixels_out};
 * `options` are those of the processor.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const request = JSON.parse(process.argv[2]);
const require = createRequire(pathToFileURL(request.web_template + '/'));
const { AutoModelForImageTextToText, AutoProcessor, RawImage, env } = await import(
  pathToFileURL(require.resolve('@huggingface/transformers')).href
);

env.allowRemoteModels = false;
env.localModelPath = request.models;
const processor = await AutoProcessor.from_pretrained(request.name);
const model = await AutoModelForImageTextToText.from_pretrained(request.name);
const pictures = request.pictures.map((/** @type {any} */ { file, width, height }) => {
  return new RawImage(new Uint8ClampedArray(readFileSync(file)), width, height, 3);
});
const content = [...pictures.map(() => ({ type: 'image' })), { type: 'text', text: request.question }];
const text = processor.apply_chat_template([{ role: 'user', content }], { add_generation_prompt: true });
const inputs = await processor(text, pictures, request.options);
const { data, dims } = inputs.pixel_values;
writeFileSync(request.pixels_out, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
const limits = { max_new_tokens: request.new_tokens, min_new_tokens: request.new_tokens, do_sample: false };
const output = await model.generate({ ...inputs, ...limits });
const numbers = (/** @type {any} */ tensor) => tensor.tolist()[0].map(Number);
process.stdout.write(JSON.stringify({ text, dims, prompt: numbers(inputs.input_ids), output: numbers(output) }) + '\n');

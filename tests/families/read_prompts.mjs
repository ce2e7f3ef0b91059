/**
 * @file Renders chats with transformers.js's own processor and prints one JSON line: [{prompt, input_ids}, ...].
 * Argument: a JSON object {web_template, models, name, size, chats: [messages]}; the picture is black, of the model's size.
 */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const request = JSON.parse(process.argv[2]);
const require = createRequire(pathToFileURL(request.web_template + '/'));
const { AutoProcessor, RawImage, env } = await import(pathToFileURL(require.resolve('@huggingface/transformers')).href);

env.allowRemoteModels = false;
env.localModelPath = request.models;
const processor = await AutoProcessor.from_pretrained(request.name);
const image = new RawImage(new Uint8ClampedArray(request.size * request.size * 3), request.size, request.size, 3);
const answers = [];
for (const messages of request.chats) {
  const prompt = processor.apply_chat_template(messages, { add_generation_prompt: true });
  const { input_ids } = await processor(image, prompt, { add_special_tokens: false });
  answers.push({ prompt, input_ids: input_ids.tolist()[0].map(Number) });
}
process.stdout.write(JSON.stringify(answers) + '\n');

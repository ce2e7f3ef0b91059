/**
 * @file A further question on a cache must be the same tokens as the whole chat anew. Arguments: the web_template folder,
 * the folder of the models, a model's name.
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [template, models, name] = process.argv.slice(2);
const require = createRequire(pathToFileURL(template + '/'));
const transformers = await import(pathToFileURL(require.resolve('@huggingface/transformers')).href);
const { firstInputs, nextInputs } = await import(pathToFileURL(template + '/pages/camera-caption/prompting.js').href);
const { AutoProcessor, RawImage, Tensor, cat, env } = transformers;
env.allowRemoteModels = false;
env.localModelPath = models;

const processor = await AutoProcessor.from_pretrained(name);
Object.assign(processor.image_processor, { do_resize: false, do_center_crop: false, do_pad: false });
const { tokenizer } = processor;
const picture = new RawImage(new Uint8ClampedArray(128 * 128 * 3).fill(127), 128, 128, 3);
const numbers = (tensor) => tensor.tolist()[0].map(Number);
const [question, answer, further] = ['Describe the picture.', 'a red cup', 'Is there a car?'];

const first = await firstInputs(processor, picture, [], question);
const whole = await firstInputs(processor, picture, [{ question, answer }], further);
const said = numbers(tokenizer(answer, { add_special_tokens: false }).input_ids);
const end = Number(tokenizer.convert_tokens_to_ids([tokenizer.eos_token])[0]);
for (const tail of [[...said, end], said]) {
  const written = new Tensor('int64', BigInt64Array.from(tail, BigInt), [1, tail.length]);
  const going = { sequences: cat([first.input_ids, written], 1), past_key_values: {} };
  const next = nextInputs({ processor, tokenizer, transformers }, going, further);
  assert.deepEqual(numbers(next.input_ids), numbers(whole.input_ids));
  assert.equal(next.attention_mask.size, next.input_ids.size);
}

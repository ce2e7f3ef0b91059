/**
 * @file Loads each of some web models with transformers.js in Node and runs it once, as a page would; prints one JSON
 * object: folder name → null where it worked, or the message of the error.
 * Arguments: a JSON object {web_template, models, names: {folder: kind}}, kind "captioner", "inline" (a captioner whose template does
 * not place the picture), "smolvlm", "clip" or "siglip".
 */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const request = JSON.parse(process.argv[2]);
const require = createRequire(pathToFileURL(request.web_template + '/'));
const {
  AutoModel,
  AutoModelForImageTextToText,
  AutoProcessor,
  AutoTokenizer,
  CLIPTextModelWithProjection,
  CLIPVisionModelWithProjection,
  RawImage,
  SiglipTextModel,
  SiglipVisionModel,
  env,
} = await import(pathToFileURL(require.resolve('@huggingface/transformers')).href);

env.allowRemoteModels = false;
env.localModelPath = request.models;
const picture = new RawImage(new Uint8ClampedArray(12 * 8 * 3).fill(100), 12, 8, 3);

async function answer(/** @type {string} */ name, /** @type {string} */ kind) {
  const processor = await AutoProcessor.from_pretrained(name);
  const model = await AutoModelForImageTextToText.from_pretrained(name, { device: 'cpu' });
  const messages = [{ role: 'user', content: (kind === 'inline' ? '<image>' : '') + 'what is this' }];
  const prompt = processor.apply_chat_template(messages, { add_generation_prompt: true });
  const inputs = kind === 'smolvlm' ? await processor(prompt, [picture]) : await processor(picture, prompt);
  const output = await model.generate({ ...inputs, max_new_tokens: 4, do_sample: false });
  if (output.dims.at(-1) <= inputs.input_ids.dims.at(-1)) throw new Error('nothing was generated');
}

async function embed(/** @type {string} */ name, /** @type {any} */ Text, /** @type {any} */ Vision) {
  const processor = await AutoProcessor.from_pretrained(name);
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const vision = await Vision.from_pretrained(name, { device: 'cpu' });
  const text = await Text.from_pretrained(name, { device: 'cpu' });
  const both = await AutoModel.from_pretrained(name, { device: 'cpu' });
  const images = await processor([picture, picture]);
  const texts = tokenizer(['a cup', 'what is this'], { padding: true, truncation: true });
  const siglip = Text === SiglipTextModel;
  const seen = (await vision(images))[siglip ? 'pooler_output' : 'image_embeds'];
  const read = (await text(texts))[siglip ? 'pooler_output' : 'text_embeds'];
  const { logits_per_image } = await both({ ...images, ...texts });
  if (!seen || !read || !logits_per_image) throw new Error('an output is missing');
  if (![...seen.data, ...read.data].every(Number.isFinite)) throw new Error('an embedding is not finite');
}

// A missing file of external data rejects a promise that transformers.js does not wait for; loading then never ends.
/** @type {(reason: unknown) => void} */
let fail = () => {};
process.on('unhandledRejection', (reason) => fail(reason));

/** @type {Record<string, string | null>} */
const results = {};
for (const [name, kind] of Object.entries(request.names)) {
  try {
    let run;
    if (kind === 'clip') run = embed(name, CLIPTextModelWithProjection, CLIPVisionModelWithProjection);
    else if (kind === 'siglip') run = embed(name, SiglipTextModel, SiglipVisionModel);
    else run = answer(name, kind);
    await Promise.race([run, new Promise((_, reject) => (fail = reject))]);
    results[name] = null;
  } catch (error) {
    results[name] = String(error instanceof Error ? error.message : error);
  }
}
process.stdout.write(JSON.stringify(results) + '\n');

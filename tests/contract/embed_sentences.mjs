/**
 * @file Compares the vectors of sentences that came with a site with those that the page would compute, by the page's own
 * modules and transformers.js in Node. Arguments: a JSON object {web_template, models, name, dtypes}; the answer is one
 * JSON line, dtype → the least cosine, or null where none came.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const { web_template, models, name, dtypes } = JSON.parse(process.argv[2]);
const require = createRequire(pathToFileURL(`${web_template}/`));
const transformers = await import(pathToFileURL(require.resolve('@huggingface/transformers')).href);
const page = (/** @type {string} */ file) => import(pathToFileURL(`${web_template}/pages/photo-search/${file}`).href);
const [{ loadModel }, { readSentences, towerId }] = [await page('model.js'), await page('sentences.js')];

Object.assign(transformers.env, { allowRemoteModels: false, localModelPath: models });
const manifest = { ...JSON.parse(readFileSync(`${models}/${name}/manifest.json`, 'utf8')), later: ['vision_model'] };
const url = `data:application/json;base64,${readFileSync(`${models}/${name}/sentences.json`).toString('base64')}`;

/** @type {Record<string, number | null>} */
const answer = {};
for (const dtype of dtypes) {
  const { labels, neutral, vectorsOf } = await readSentences(url, towerId(manifest.components.text_model[dtype]));
  const asked = [...Object.values(labels), ...neutral];
  const came = vectorsOf(asked);
  answer[dtype] = null;
  if (!came) continue;
  const job = { model_name: name, manifest, plan: { device: 'wasm' } };
  const model = await loadModel(job, transformers, { device: 'cpu', dtype: { text_model: dtype } });
  let least = Infinity;
  for (const [at, sentence] of asked.entries()) {
    const [vector] = await model.embedTexts([sentence]);
    least = Math.min(least, came[at].reduce((sum, value, i) => sum + value * vector[i], 0));
  }
  answer[dtype] = least;
}
process.stdout.write(`${JSON.stringify(answer)}\n`);

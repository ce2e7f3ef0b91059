/**
 * @file Tokenizes texts with transformers.js in Node, from a web model's two tokenizer files. Argument: a JSON object
 * {web_template, models, name, texts: [string]}; prints {ids: [[number]], padded: [[number]]}, the latter as the
 * zero-shot pipeline makes them for SigLIP.
 */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const request = JSON.parse(process.argv[2]);
const require = createRequire(pathToFileURL(request.web_template + '/'));
const { AutoTokenizer, env } = await import(pathToFileURL(require.resolve('@huggingface/transformers')).href);

env.allowRemoteModels = false;
env.localModelPath = request.models;
const tokenizer = await AutoTokenizer.from_pretrained(request.name);
const ids = request.texts.map((/** @type {string} */ text) => tokenizer(text, { return_tensor: false }).input_ids);
const padded = tokenizer(request.texts, { padding: 'max_length', truncation: true, return_tensor: false }).input_ids;
process.stdout.write(JSON.stringify({ ids, padded }) + '\n');

/**
 * @file Opens ONNX files with the onnxruntime-web of web_template and prints a JSON list: null, or the error.
 * Arguments: the folder web_template, then the files.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, ...files] = process.argv.slice(2);
const require = createRequire(pathToFileURL(path.resolve(folder) + '/'));
const loaded = await import(pathToFileURL(require.resolve('onnxruntime-web')).href);
const ort = loaded.default ?? loaded;
ort.env.wasm.numThreads = 1;

const results = [];
for (const file of files) {
  try {
    await ort.InferenceSession.create(new Uint8Array(readFileSync(file)));
    results.push(null);
  } catch (error) {
    results.push(error instanceof Error ? error.message : String(error));
  }
}
process.stdout.write(JSON.stringify(results) + '\n');
process.exit(0);

/**
 * @file Runs a decoder in onnxruntime-web on WASM and prints milliseconds by load: {label: [ms]}.
 * Argument: JSON with the folder that holds node_modules, the graph, its data files, the vocabulary and the loads.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const request = JSON.parse(process.argv[2]);
const require = createRequire(pathToFileURL(path.resolve(request.packages) + '/'));
const loaded = await import(pathToFileURL(require.resolve('onnxruntime-web')).href);
const ort = loaded.default ?? loaded;
ort.env.wasm.numThreads = request.threads;
ort.env.logLevel = 'error';

const TYPES = { float32: Float32Array, float16: Uint16Array, int64: BigInt64Array, bool: Uint8Array };
const folder = path.dirname(request.graph);
const externalData = request.data.map((name) => ({ path: name, data: new Uint8Array(readFileSync(path.join(folder, name))) }));
const session = await ort.InferenceSession.create(new Uint8Array(readFileSync(request.graph)), { externalData });
externalData.length = 0;

/** As _decoders.py fills what a graph declares. */
function feeds({ new: fresh, past }) {
  const found = {};
  const put = (name, type, dims, fill) => {
    const count = dims.reduce((a, b) => a * b, 1);
    const values = new TYPES[type](count);
    for (let i = 0; i < count; i++) values[i] = fill(i);
    found[name] = new ort.Tensor(type, values, dims);
  };
  for (const { name, type, shape } of session.inputMetadata) {
    if (name === 'input_ids') put(name, type, [1, fresh], (i) => BigInt((i * 7919 + 11) % request.vocabulary));
    else if (name === 'inputs_embeds') put(name, type, [1, fresh, shape[2]], (i) => 0.02 * Math.sin(i));
    else if (name === 'attention_mask') put(name, type, [1, past + fresh], () => 1n);
    else if (name === 'position_ids') put(name, type, [1, fresh], (i) => BigInt(past + i));
    else if (name === 'num_logits_to_keep') found[name] = new ort.Tensor('int64', [1n], []);
    else put(name, type, [1, shape[1], past, shape[3]], (i) => Math.sin(i));
  }
  return found;
}

const answer = {};
for (const load of request.loads) {
  const given = feeds(load);
  answer[load.label] = [];
  for (let turn = 0; turn < load.warm_up + load.times; turn++) {
    const started = performance.now();
    const outputs = await session.run(given);
    const took = performance.now() - started;
    for (const output of Object.values(outputs)) output.dispose();
    if (turn >= load.warm_up) answer[load.label].push(took);
  }
}
process.stdout.write(JSON.stringify(answer) + '\n');
process.exit(0);

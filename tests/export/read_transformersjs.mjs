/**
 * @file Prints as JSON what the linter knows of transformers.js, read from its source in web_template/node_modules.
 * Argument: the folder web_template. `tests/export/test_lint_tables.py` holds it against the stored table.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(path.resolve(process.argv[2]) + '/'));
const root = path.resolve(path.dirname(require.resolve('@huggingface/transformers')), '..');
const load = (/** @type {string} */ file) => import(pathToFileURL(path.join(root, 'src', file)).href);

const { MODEL_CLASS_TYPE_MAPPING } = await load('models/registry.js');
const { MODEL_TYPE_MAPPING, MODEL_TYPES, MODEL_NAME_TO_CLASS_MAPPING } = await load('models/modeling_utils.js');
const { PretrainedConfig } = await load('configs.js');
const processors = await load('models/processors.js');
const imageProcessors = await load('models/image_processors.js');
const featureExtractors = await load('models/feature_extractors.js');
const { DEFAULT_DTYPE_SUFFIX_MAPPING } = await load('utils/dtypes.js');
const { MAX_EXTERNAL_DATA_CHUNKS } = await load('utils/hub.js');

const kindNames = Object.fromEntries(Object.entries(MODEL_TYPES).map(([name, id]) => [id, name]));
const classKinds = Object.fromEntries([...MODEL_TYPE_MAPPING].map(([name, id]) => [name, kindNames[id]]));

/** @type {Record<string, string[]>} */
const modelClasses = {};
for (const [mapping] of MODEL_CLASS_TYPE_MAPPING) {
  for (const [type, name] of mapping) {
    modelClasses[type] = [...new Set([...(modelClasses[type] ?? []), name])];
  }
}

/** @type {Record<string, string[]>} */
const forwardParams = {};
for (const [name, cls] of MODEL_NAME_TO_CLASS_MAPPING) {
  if (classKinds[name] === 'ImageTextToText') forwardParams[name] = new cls({}, {}, {}).forward_params;
}

// Each value of this config is its own path, so that the normalised config tells which key it was read from.
const LAYERS = ['num_hidden_layers', 'n_layer', 'n_layers', 'num_layers', 'num_transformer_layers'];
const paths = (/** @type {string} */ prefix) => Object.fromEntries(LAYERS.map((key) => [key, prefix + key]));
const PARTS = ['text_config', 'phi_config', 'decoder', 'language_config', 'encoder_config', 'audio_config'];
const parts = Object.fromEntries(PARTS.map((part) => [part, { model_type: 'llama', ...paths(part + '.') }]));

/** @type {Record<string, string>} */
const layerKeys = {};
const source = readFileSync(path.join(root, 'src', 'configs.js'), 'utf8');
const named = [...source.matchAll(/case '([\w-]+)':/g)].map((match) => match[1]);
for (const type of [...new Set([...Object.keys(modelClasses), ...named])].sort()) {
  const { num_layers } = new PretrainedConfig({ model_type: type, ...paths(''), ...parts }).normalized_config;
  if (typeof num_layers === 'string') layerKeys[type] = num_layers;
}

const classes = (/** @type {Record<string, any>} */ module) =>
  Object.entries(module).filter(([, value]) => typeof value === 'function');
const names = (/** @type {[string, any][]} */ entries) => entries.map(([name]) => name).sort();
const loadable = classes(processors).filter(([, cls]) => typeof cls.from_pretrained === 'function');
const classNames = Object.values(modelClasses).flat();
const table = {
  version: JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).version,
  max_external_chunks: MAX_EXTERNAL_DATA_CHUNKS,
  dtype_suffixes: DEFAULT_DTYPE_SUFFIX_MAPPING,
  model_classes: modelClasses,
  // Every class that is not named here loads `model`, as an encoder does.
  class_kinds: Object.fromEntries(
    Object.entries(classKinds).filter(([name, kind]) => kind !== 'EncoderOnly' && classNames.includes(name)),
  ),
  forward_params: forwardParams,
  layer_keys: layerKeys,
  processors: names(loadable),
  processors_with_tokenizer: names(loadable.filter(([, cls]) => cls.tokenizer_class)),
  processors_reading_processor_config: names(loadable.filter(([, cls]) => cls.uses_processor_config)),
  processors_reading_chat_template_file: names(loadable.filter(([, cls]) => cls.uses_chat_template_file)),
  image_processors: names(classes(imageProcessors)),
  feature_extractors: names(classes(featureExtractors)),
};
process.stdout.write(JSON.stringify(table, null, 1) + '\n');

/** @file What device.js chooses of a manifest. Argument: the web_template folder. */
import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';

const root = pathToFileURL(process.argv[2] + '/').href;
// state.js looks for the page's root as it is loaded; what is tested here draws nothing
globalThis.document = /** @type {any} */ ({ documentElement: {} });
const { choosePlan, smallerPlan } = await import(root + 'shared/device.js');

const variant = (path, size_bytes, more = {}) => ({ path, size_bytes, sha256: '', data: [], largest_tensor_bytes: size_bytes, ...more });
const manifest = {
  name: 'm',
  files: [],
  components: {
    model: {
      fp32: variant('onnx/model.onnx', 4000),
      q8: variant('onnx/model_q8.onnx', 1000, { needs_f16: true }),
      q4: variant('onnx/model_q4.onnx', 500, { largest_tensor_bytes: 300 }),
      uint8: variant('onnx/model_uint8.onnx', 100, { fault: 'does not load' }),
    },
  },
  tiers: { webgpu: { model: 'q4' }, wasm: { model: 'q8' } },
};
const found = { webgpu: true, shader_f16: false, largest_buffer_bytes: 2000, webgpu_missing: '', jspi: true };
const asked = (dtype, capabilities = {}, device = 'webgpu') =>
  choosePlan({ ...found, ...capabilities }, manifest, null, { device, dtype });

// what is asked for is taken where it fits and can be computed, and is ignored with a notice where not
assert.equal(asked('q4').dtypes.model, 'q4');
assert.equal(asked('fp32', { largest_buffer_bytes: 5000 }).dtypes.model, 'fp32');
for (const [dtype, capabilities] of [['fp32', {}], ['q8', {}], ['uint8', {}]]) {
  const plan = asked(dtype, capabilities);
  assert.equal(plan.dtypes.model, 'q4', dtype);
  assert.equal(plan.notices.length, 1, dtype);
}
assert.equal(asked('q8', { shader_f16: true }).dtypes.model, 'q8');
assert.equal(asked('fp32', {}, 'wasm').dtypes.model, 'fp32');
assert.equal(asked('uint8', {}, 'wasm').dtypes.model, 'q8');

// what takes less is never what this device cannot hold: q8 of 1,000 would be smaller than fp32, but needs 16 bits
const large = asked('fp32', { largest_buffer_bytes: 5000 });
assert.equal(smallerPlan({ ...found, largest_buffer_bytes: 5000 }, manifest, null, large).dtypes.model, 'q4');

/**
 * @file The model of the smallest page: a sentence becomes a vector. `embedded` counts them, from 1 in each worker, and
 * `here` names what has been made of the files so far.
 */

import { withRuntime } from '../../shared/runtime.js';
import { serve } from '../../shared/serve.js';

// A browser that refuses Cache Storage in workers, too: `?refuse=CacheStorage`, of this file and of the page.
const refused = new URL(self.location.href).searchParams.get('refuse');
if (refused) {
  self[refused].prototype.open = async () => {
    throw new DOMException('The operation is insecure.', 'SecurityError');
  };
}

let loaded = null;
let embedded = 0;
globalThis.here = [];

async function embed({ tokenizer, model, manifest }, text) {
  const inputs = tokenizer([text], { padding: 'max_length', max_length: manifest.context.text_tokens, truncation: true });
  const { text_embeds } = await model(inputs);
  return Array.from(text_embeds.data);
}

serve({
  async load(job, { emit }) {
    const made = await withRuntime(job, emit, async ({ AutoTokenizer, CLIPTextModelWithProjection }, { dtype, ...rest }) => {
      const note = (name) => (part) => (globalThis.here.push(name), part);
      const [tokenizer, model] = await Promise.all([
        AutoTokenizer.from_pretrained(job.model_name).then(note('tokenizer')),
        CLIPTextModelWithProjection.from_pretrained(job.model_name, { ...rest, dtype: dtype.text_model }).then(note('model')),
      ]);
      return { manifest: job.manifest, tokenizer, model };
    });
    emit({ kind: 'phase', phase: 'warm-up' });
    await embed(made, 'a photo');
    loaded = made;
    return { load_ms: 0 };
  },

  async embed({ text }) {
    embedded += 1;
    return { vector: await embed(loaded, text), embedded };
  },
});

"""JavaScript that uses a web model with transformers.js, as its card shows it: it runs as pasted.

Each function returns a module's source. They differ as transformers.js's classes do: LLaVA's processors take the
picture first and a plain prompt, Idefics3's the text first and a structured message; SigLIP's towers have other classes
than CLIP's, and other names for what they return.
"""

from __future__ import annotations

import json

from builder.manifest import Manifest

LIBRARY = "@huggingface/transformers"
STRUCTURED = frozenset({"idefics3", "smolvlm"})
"""Model types whose processor is Idefics3's."""
TOWERS = {
    "clip": ("CLIPTextModelWithProjection", "CLIPVisionModelWithProjection"),
    "siglip": ("SiglipTextModel", "SiglipVisionModel"),
}
EMBEDDINGS = ("text_embeds", "image_embeds", "pooler_output")
LABELS = ("cup", "boat", "tree")
DEVICE = (
    "const device = globalThis.navigator?.gpu ? 'webgpu' : undefined; // undefined: WebAssembly, or the CPU in Node"
)
PICTURE = (
    '// a picture of yours: an address, a file in Node, or a Blob such as <input type="file"> gives\n'
    "const image = await RawImage.read('photo.jpg');"
)


def describe_image(manifest: Manifest, name: str) -> str:
    """An answer about a picture, for image-text-to-text."""
    longest = manifest.generation.max_new_tokens
    question = manifest.prompts[0].text if manifest.prompts else "Describe the image."
    if manifest.model_type in STRUCTURED:
        content = f"[{{ type: 'image' }}, {{ type: 'text', text: {_js(question)} }}]"
        ask = "processor(prompt, image, { do_image_splitting: false }); // the whole picture as one tile"
    else:
        content = _js(f"<image>\n{question}")
        ask = "processor(image, prompt, { add_special_tokens: false });"
    return f"""\
import {{ AutoModelForImageTextToText, AutoProcessor, RawImage }} from '{LIBRARY}';

const name = {_js(name)};
{DEVICE}
const processor = await AutoProcessor.from_pretrained(name);
const model = await AutoModelForImageTextToText.from_pretrained(name, {{ device }});

{PICTURE}
const messages = [{{ role: 'user', content: {content} }}];
const prompt = processor.apply_chat_template(messages, {{ add_generation_prompt: true }});
const inputs = await {ask}
const output = await model.generate({{ ...inputs, max_new_tokens: {longest}, do_sample: false }});
const made = output.slice(null, [inputs.input_ids.dims.at(-1), null]);
console.log(processor.batch_decode(made, {{ skip_special_tokens: true }})[0].trim());
"""


def classify_image(name: str) -> str:
    """Zero-shot classification by the pipeline, which wants the component ``model``."""
    return f"""\
import {{ pipeline }} from '{LIBRARY}';

{DEVICE}
const classify = await pipeline('zero-shot-image-classification', {_js(name)}, {{ device }});
// the first is a picture of yours: an address, a file in Node, or a Blob such as <input type="file"> gives
console.log(await classify('photo.jpg', [{", ".join(f"'{label}'" for label in LABELS)}]));
"""


def embed(manifest: Manifest, name: str) -> str:
    """One vector per text and per picture, for search: the towers alone."""
    text_class, vision_class = TOWERS[manifest.model_type]
    texts = ", ".join(f"'a {label}'" for label in LABELS)
    length = manifest.context.text_tokens
    return f"""\
import {{ AutoProcessor, AutoTokenizer, {text_class}, {vision_class}, RawImage, cos_sim }} from '{LIBRARY}';

const name = {_js(name)};
{DEVICE}
const tokenizer = await AutoTokenizer.from_pretrained(name);
const processor = await AutoProcessor.from_pretrained(name);
const textModel = await {text_class}.from_pretrained(name, {{ device }});
const visionModel = await {vision_class}.from_pretrained(name, {{ device }});

{PICTURE}
const texts = [{texts}];
const tokens = tokenizer(texts, {{ padding: 'max_length', max_length: {length}, truncation: true }});
const textVectors = (await textModel(tokens)).{_embedding(manifest, "text_model")}.tolist();
const [imageVector] = (await visionModel(await processor(image))).{_embedding(manifest, "vision_model")}.tolist();
texts.forEach((text, i) => console.log(text, cos_sim(imageVector, textVectors[i]).toFixed(3)));
"""


def _embedding(manifest: Manifest, component: str) -> str:
    """What a tower calls its vector."""
    names = {spec.name for variant in manifest.components[component].values() for spec in variant.outputs}
    return next(name for name in EMBEDDINGS if name in names)


def _js(text: str) -> str:
    return "'" + json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"

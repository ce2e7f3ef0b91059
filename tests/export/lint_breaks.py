"""One edit per rule that breaks this rule and no other: files, configs, processors, tokens, sizes, and what lies about.

Edits of graphs stand in lint_breaks_graphs.py. Each begins with a folder of lint_models.py that obeys every rule.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.export.lint_models import CAPTIONER_FILES, WORDS, edit_graph, edit_json, enlarge, move_outside

MIB = 2**20
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
Edit = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class Break:
    code: str
    base: str
    edit: Edit
    name: str


BREAKS: list[Break] = []


def breaks(code: str, base: str) -> Callable[[Edit], Edit]:
    """Register an edit; ``base`` names the folder that it begins with."""

    def register(edit: Edit) -> Edit:
        BREAKS.append(Break(code=code, base=base, edit=edit, name=getattr(edit, "__name__", "")))
        return edit

    return register


def remove(code: str, base: str, *paths: str) -> None:
    def removed(root: Path) -> None:
        for path in paths:
            (root / path).unlink()

    removed.__name__ = f"without {', '.join(paths)}"
    breaks(code, base)(removed)


def change(code: str, base: str, file: str, **values: object) -> None:
    """Set keys of a JSON file; a key set to None is removed. ``js_config`` stands for transformers.js_config."""

    def changed(root: Path) -> None:
        def apply(config: dict[str, Any]) -> None:
            for key, value in values.items():
                name = {"js_config": "transformers.js_config"}.get(key, key)
                if value is None:
                    del config[name]
                else:
                    config[name] = value

        edit_json(root / file, apply)

    changed.__name__ = f"{file} with {', '.join(values)}"
    breaks(code, base)(changed)


def write(code: str, base: str, path: str, text: str | bytes) -> None:
    def written(root: Path) -> None:
        (root / path).write_bytes(text.encode() if isinstance(text, str) else text)

    written.__name__ = f"with {path}"
    breaks(code, base)(written)


def copy(code: str, base: str, source: str, target: str) -> None:
    def copied(root: Path) -> None:
        shutil.copyfile(root / source, root / target)

    copied.__name__ = f"with {target}"
    breaks(code, base)(copied)


def set_chunks(root: Path, **counts: int) -> None:
    """State how many files of external data a graph has; the names are those of fp32 files, or with their suffix."""
    chunks = {f"{name}.onnx": count for name, count in counts.items()}
    edit_json(root / "config.json", lambda c: c["transformers.js_config"].update(use_external_data_format=chunks))


FP32 = dict.fromkeys(CAPTIONER_FILES, "fp32")
CONFIG, PREPROCESSOR, PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"

# Files
remove("TJS001", "clip", CONFIG)
remove("TJS002", "clip", TOKENIZER)
remove("TJS002", "captioner", TOKENIZER_CONFIG)
remove("TJS003", "clip", PREPROCESSOR)
remove("TJS004", "captioner", PROCESSOR)
write("TJS005", "captioner", "generation_config.json", "{")
write("TJS005", "captioner", "generation_config.json", '{"note": "caf\u00e9"}'.encode("latin-1"))
write("TJS005", "captioner", "generation_config.json", "[1]")
write("TJS005", "captioner", "generation_config.json", '{"temperature": Infinity}')
write("TJS005", "captioner", "generation_config.json", "[" * 100_000)
write("TJS007", "clip", "onnx/text_model.onnx", LFS)
copy("TJS008", "clip", "onnx/text_model.onnx", "text_model.onnx")


@breaks("TJS006", "clip")
def a_link_beside_the_model(root: Path) -> None:
    (root / "LICENSE").symlink_to("/etc/hostname")


@breaks("TJS006", "clip")
def a_graph_that_is_a_link(root: Path) -> None:
    real = (root / "onnx" / "model.onnx").rename(root.parent / "elsewhere.onnx")
    (root / "onnx" / "model.onnx").symlink_to(real)


@breaks("TJS006", "clip")
def a_folder_that_is_a_link(root: Path) -> None:
    (root / "assets").symlink_to("/")


# Configs
change("TJS101", "captioner", CONFIG, model_type="fast_vlm")
change("TJS101", "clip", CONFIG, model_type=None)
change("TJS101", "clip", CONFIG, model_type=["clip"])
change("TJS102", "captioner", CONFIG, architectures=["LlavaForConditionalGeneration"])
change("TJS103", "captioner", CONFIG, image_token_index=None)
change("TJS104", "smolvlm", "generation_config.json", eos_token_id=None)
change("TJS105", "captioner", CONFIG, num_hidden_layers=None)
change("TJS105", "smolvlm", CONFIG, text_config={"num_hidden_layers": 2, "vocab_size": len(WORDS)})
change("TJS106", "captioner", CONFIG, js_config="fp32")
change("TJS107", "captioner", CONFIG, js_config={"dtype": FP32, "kv_cache_dtype": {"q4f16": "float16"}})
change("TJS108", "captioner", CONFIG, js_config={"dtype": FP32, "device_config": {"wasm": {"dtype": "q8"}}})

# Sessions and dtypes
remove("TJS201", "captioner", "onnx/vision_encoder.onnx")
copy("TJS202", "captioner", "onnx/embed_tokens.onnx", "onnx/embed_tokens_q4_f16.onnx")
change("TJS205", "captioner", CONFIG, js_config=None)
change("TJS206", "captioner", CONFIG, js_config={"dtype": {**FP32, "vision_encoder": "q5"}})
change("TJS206", "captioner", CONFIG, js_config={"dtype": 4})
change("TJS207", "captioner", CONFIG, js_config={"dtype": {**FP32, "vision_model": "fp32"}})
change("TJS208", "captioner", CONFIG, js_config={"dtype": {**FP32, "vision_encoder": "q4"}})
remove("TJS210", "clip", "onnx/model.onnx")


@breaks("TJS203", "captioner")
def no_dtype_in_common(root: Path) -> None:
    (root / "onnx" / "vision_encoder.onnx").rename(root / "onnx" / "vision_encoder_fp16.onnx")
    edit_json(root / CONFIG, lambda config: config.pop("transformers.js_config"))


@breaks("TJS204", "captioner")
def only_q4_and_no_default(root: Path) -> None:
    for name in CAPTIONER_FILES:
        (root / "onnx" / f"{name}.onnx").rename(root / "onnx" / f"{name}_q4.onnx")
    edit_json(root / CONFIG, lambda config: config.pop("transformers.js_config"))


@breaks("TJS209", "captioner")
def a_default_for_some(root: Path) -> None:
    (root / "onnx" / "vision_encoder.onnx").rename(root / "onnx" / "vision_encoder_q4.onnx")
    edit_json(root / CONFIG, lambda config: config["transformers.js_config"]["dtype"].pop("vision_encoder"))


# Processors
change("TJS601", "captioner", PREPROCESSOR, processor_class=None)
change("TJS601", "captioner", PREPROCESSOR, processor_class="FastVlmProcessor")
change("TJS602", "captioner", PREPROCESSOR, image_processor_type="LlavaImageProcessor")
change("TJS602", "clip", PREPROCESSOR, image_processor_type="MobileCLIPImageProcessor")
change("TJS602", "clip", PREPROCESSOR, image_processor_type=None)
change("TJS603", "captioner", PROCESSOR, num_additional_image_tokens=None)
change("TJS603", "smolvlm", PROCESSOR, image_seq_len=None)
change("TJS604", "smolvlm", PREPROCESSOR, max_image_size=None)
change("TJS605", "clip", PREPROCESSOR, image_mean=None)
change("TJS605", "clip", PREPROCESSOR, image_std=[0.5, 0.0, 0.5])
change("TJS606", "clip", PREPROCESSOR, size={"height": 16, "width": 16})
change("TJS606", "clip", PREPROCESSOR, size={"shortest_edge": 8})
change("TJS606", "smolvlm", PREPROCESSOR, max_image_size={"longest_edge": 16})
for odd_patch in (0, 2.5, "x"):
    change("TJS607", "captioner", PROCESSOR, patch_size=odd_patch)
for odd_size in ("8", {}, {"width": 8}, [8, 8]):
    change("TJS608", "captioner", PREPROCESSOR, size=odd_size)


@breaks("TJS608", "clip")
def a_size_of_null(root: Path) -> None:
    edit_json(root / PREPROCESSOR, lambda config: config.update(size=None))


# Tokens
change("TJS702", "captioner", PREPROCESSOR, processor_class="Gemma3nProcessor")
change("TJS703", "captioner", TOKENIZER_CONFIG, chat_template=None)
change("TJS704", "captioner", TOKENIZER_CONFIG, chat_template="{% for message in messages %}<image>")
change("TJS704", "captioner", TOKENIZER_CONFIG, chat_template=[{"name": "default", "template": "<image>{{"}])
change("TJS705", "captioner", TOKENIZER_CONFIG, chat_template="{{ messages[0]['content'] }}")
change("TJS706", "captioner", CONFIG, image_token_index=WORDS.index("cup"))
change("TJS706", "captioner", PROCESSOR, image_token="<picture>")
change("TJS709", "captioner", TOKENIZER, model=None)
change("TJS709", "captioner", TOKENIZER, model={"type": "WordLevel", "unk_token": "<unk>"})
write("TJS709", "captioner", TOKENIZER, "{}")
write("TJS709", "clip", TOKENIZER, "{}")
change("TJS710", "captioner", CONFIG, eos_token_id=len(WORDS))
change("TJS710", "captioner", "generation_config.json", eos_token_id=[WORDS.index("<end>"), 2**31])
change("TJS710", "smolvlm", "generation_config.json", eos_token_id="<end>")
change("TJS712", "captioner", TOKENIZER_CONFIG, chat_template=5)
change("TJS712", "captioner", TOKENIZER_CONFIG, chat_template=[{"name": "default", "template": 5}])
change("TJS712", "captioner", TOKENIZER_CONFIG, chat_template={"default": None})


@breaks("TJS701", "captioner")
def a_template_in_its_own_file(root: Path) -> None:
    def move(config: dict[str, Any]) -> None:
        (root / "chat_template.jinja").write_text(config.pop("chat_template"), encoding="utf-8")

    edit_json(root / TOKENIZER_CONFIG, move)


@breaks("TJS707", "smolvlm")
def no_token_around_pictures(root: Path) -> None:
    token = "<fake_token_around_image>"

    def forget(tokenizer: dict[str, Any]) -> None:
        tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if t["content"] != token]
        del tokenizer["model"]["vocab"][token]

    edit_json(root / TOKENIZER, forget)


def a_token_beyond_the_table(root: Path) -> None:
    entry = {"id": len(WORDS), "content": "<extra>", "special": True}
    more = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    edit_json(root / TOKENIZER, lambda tokenizer: tokenizer["added_tokens"].append({**entry, **more}))


breaks("TJS708", "captioner")(a_token_beyond_the_table)
breaks("TJS708", "siglip")(a_token_beyond_the_table)


@breaks("TJS713", "captioner")
def a_table_for_another_tokenizer(root: Path) -> None:
    enlarge(root / "onnx" / "embed_tokens.onnx", "table", [10 * len(WORDS) + 100, 48])
    set_chunks(root, embed_tokens=1)


# Pictures
change("TJS711", "captioner", PROCESSOR, patch_size=2)
change("TJS711", "captioner", PROCESSOR, num_additional_image_tokens=1)
change("TJS711", "smolvlm", PROCESSOR, image_seq_len=9)


# Sizes; the files are sparse and take no room
@breaks("TJS801", "captioner")
def a_table_of_134_million_bytes(root: Path) -> None:
    enlarge(root / "onnx" / "embed_tokens.onnx", "table", [len(WORDS), 3_360_000])
    set_chunks(root, embed_tokens=1)


@breaks("TJS802", "captioner")
def a_table_of_288_million_bytes(root: Path) -> None:
    enlarge(root / "onnx" / "embed_tokens.onnx", "table", [len(WORDS), 7_200_000])
    set_chunks(root, embed_tokens=1)


def _pad(root: Path, size_bytes: int, *names: str) -> None:
    """Move weights beside their graphs, into files of this size."""
    for name in names:
        move_outside(root / "onnx" / f"{name}.onnx", f"{name}.onnx_data")
        with (root / "onnx" / f"{name}.onnx_data").open("r+b") as file:
            file.truncate(size_bytes)
    set_chunks(root, **dict.fromkeys(names, 1))


@breaks("TJS803", "captioner")
def a_file_of_2_gib(root: Path) -> None:
    _pad(root, 2**31, "embed_tokens")


@breaks("TJS804", "captioner")
def more_than_3_gib_by_default(root: Path) -> None:
    _pad(root, 1600 * MIB, "embed_tokens", "decoder_model_merged")


copy("TJS805", "captioner", "onnx/vision_encoder.onnx", "onnx/vision_encoder_q4.onnx")


@breaks("TJS805", "captioner")
def a_q4_as_large_as_fp16_and_smaller_than_fp32(root: Path) -> None:
    for suffix in ("_fp16", "_q4"):
        shutil.copyfile(root / "onnx" / "vision_encoder.onnx", root / "onnx" / f"vision_encoder{suffix}.onnx")
    edit_graph(root / "onnx" / "vision_encoder.onnx", lambda model: setattr(model, "doc_string", "large" * 100))


@breaks("TJS806", "captioner")
def a_float32_table_in_q4(root: Path) -> None:
    shutil.copyfile(root / "onnx" / "embed_tokens.onnx", root / "onnx" / "embed_tokens_q4.onnx")
    _pad(root, 20 * MIB, "embed_tokens")
    enlarge(root / "onnx" / "embed_tokens_q4.onnx", "table", [50_000, 48])
    set_chunks(root, embed_tokens=1, embed_tokens_q4=1)


# What lies about
write("TJS901", "clip", "pytorch_model.bin", b"\x80\x02}q\x00.")
write("TJS901", "clip", "vectors.bin", b"\x00\x00\x80\x3f")
write("TJS901", "clip", "model.pt", b"")
write("TJS902", "clip", "modeling_tiny.py", "print('hello')\n")
change("TJS903", "clip", CONFIG, auto_map={"AutoModel": "modeling_tiny.TinyModel"})
write("TJS904", "clip", "model.safetensors", b"\0" * 8)
write("TJS911", "clip", "manifest.json", '{"format": 99}')
write("TJS912", "listed", "tokenizer_config.json", "{}")
write("TJS912", "listed", "LICENSE", "Apache-2.1")
remove("TJS912", "listed", "LICENSE")
copy("TJS913", "listed", "onnx/vision_model.onnx", "onnx/vision_model_fp16.onnx")
remove("TJS921", "clip", "README.md")
write("TJS921", "clip", "README.md", "# Tiny\n")
write("TJS922", "clip", "README.md", "---\nlibrary_name: transformers.js\n---\n")
write("TJS923", "clip", "README.md", "---\nlicense: mit\nlibrary_name: transformers\n---\n")

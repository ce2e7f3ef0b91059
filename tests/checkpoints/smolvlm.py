"""SmolVLM and Idefics3 as they lie on the Hub: of transformers 4 and 5, tied and untied, whole and in shards."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import processors
from torch import Tensor
from transformers import (
    AutoConfig,
    GenerationConfig,
    Idefics3ForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from tests.checkpoints._case import Captioner, Case, round_to_bfloat16, tiny_tokenizer, useful_weights, write_json

Model = Idefics3ForConditionalGeneration | SmolVLMForConditionalGeneration

TILE = 64
VOCABULARY = 352
PLACES = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))
MESSAGES = (
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
SMOL_TEMPLATE = "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}" + MESSAGES
LLAMA_TEMPLATE = "<|begin_of_text|>{% for message in messages %}{{message['role'].capitalize()}}" + MESSAGES


def text_config(**more: object) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        **more,
    }


def vision_config(*, patch: int = 8, **more: object) -> dict[str, Any]:
    return {
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": TILE,
        "patch_size": patch,
        **more,
    }


def image_processor(stem: str, longest_edge: int, **more: object) -> dict[str, Any]:
    return {
        "do_convert_rgb": True,
        "do_image_splitting": True,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": f"{stem}ImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "max_image_size": {"longest_edge": TILE},
        "resample": 1,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": longest_edge},
        **more,
    }


def save_tokenizer(folder: Path, special: tuple[str, ...], **settings: object) -> dict[str, int]:
    """Write tokenizer.json and tokenizer_config.json; returns the ids of the ``special`` tokens."""
    tokenizer = tiny_tokenizer(special, vocab_size=VOCABULARY)
    ids = {token: int(tokenizer.token_to_id(token)) for token in special}
    if "<|begin_of_text|>" in ids:
        start = "<|begin_of_text|>"
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", pair=f"{start} $A $B", special_tokens=[(start, ids[start])]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"clean_up_tokenization_spaces": False, **settings})
    return ids


def smol_tokenizer(folder: Path, *, places: bool, **settings: object) -> dict[str, int]:
    """SmolLM2's tokens and what SmolVLM adds to them; the 2.2B spells places and <global-img> in plain tokens."""
    return save_tokenizer(
        folder,
        (
            "<|endoftext|>",
            "<|im_start|>",
            "<|im_end|>",
            *(("<global-img>", *PLACES) if places else ()),
            "<fake_token_around_image>",
            "<image>",
            "<end_of_utterance>",
        ),
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        **{"tokenizer_class": "GPT2Tokenizer", "processor_class": "SmolVLMProcessor", **settings},
    )


def random_weights(model: Model) -> None:
    """Useful ones, with which a model never answers with an image token: nothing could take its place."""
    useful_weights(model)
    with torch.no_grad():
        model.lm_head.weight[model.config.image_token_id] = 0


def captioner(model: Model) -> Captioner:
    """The PyTorch side, for one tile with nothing hidden."""
    model.eval()

    def inputs(pixels: Tensor) -> dict[str, Tensor]:
        mask = torch.ones(1, 1, *pixels.shape[2:], dtype=torch.bool)
        return {"pixel_values": pixels[:, None], "pixel_attention_mask": mask}

    def features(pixels: Tensor) -> Tensor:
        rows = model.model.get_image_features(**inputs(pixels), return_dict=True).pooler_output
        return rows[0] if isinstance(rows, list) else rows.flatten(0, -2)

    return Captioner(model=model, features=features, inputs=inputs)


def save_old(folder: Path, config: Mapping[str, Any], *, ends: Mapping[str, object]) -> Captioner:
    """Write config.json as it is given, and weights by the names of transformers 4, which are today's."""
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"_from_model_config": True, **ends})
    read = AutoConfig.from_pretrained(folder)
    kind = SmolVLMForConditionalGeneration if read.model_type == "smolvlm" else Idefics3ForConditionalGeneration
    model = kind(read)
    random_weights(model)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if read.tie_word_embeddings:
        del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model.generation_config = GenerationConfig.from_pretrained(folder)
    return captioner(model)


def make_smolvlm(folder: Path, *, longest_edge: int = TILE) -> Captioner:
    """SmolVLM-256M-Instruct: type idefics3, config.json full of remains of the training; here with a tied head."""
    ids = smol_tokenizer(folder, places=True, processor_class="Idefics3Processor")
    write_json(folder / "chat_template.json", {"chat_template": SMOL_TEMPLATE})
    write_json(
        folder / "preprocessor_config.json",
        image_processor("Idefics3", longest_edge, processor_class="Idefics3Processor"),
    )
    write_json(folder / "processor_config.json", {"image_seq_len": 4, "processor_class": "Idefics3Processor"})
    remains = {
        "_flash_attn_2_enabled": True,
        "_name_or_path": "None",
        "architectures": ["VLlama3ForCausalLM"],
        "is_llama_config": True,
        "neftune_noise_alpha": 0.0,
        "pad_token_id": ids["<|im_end|>"],
        "perceiver_config": {"model_type": "vllama3", "resampler_depth": 6, "torch_dtype": None},
        "pixel_shuffle_factor": 4,
        "qk_layer_norms": False,
        "rope_interleaved": False,
        "rope_theta": 100000,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
        "use_resampler": False,
    }
    config = {
        "architectures": ["Idefics3ForConditionalGeneration"],
        "image_token_id": ids["<image>"],
        "model_type": "idefics3",
        "scale_factor": 4,
        "text_config": text_config(**remains),
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "transformers_version": "4.46.0",
        "use_cache": True,
        "vision_config": vision_config(
            model_type="idefics3", max_image_size={"longest_edge": TILE}, size={"longest_edge": 4 * TILE}
        ),
    }
    ends = {"bos_token_id": ids["<|im_start|>"], "eos_token_id": ids["<end_of_utterance>"]}
    return save_old(folder, config, ends=ends)


def make_smolvlm2(folder: Path, *, longest_edge: int = TILE) -> Captioner:
    """SmolVLM2-2.2B-Instruct: patches that do not fill the tile, places spelt in plain tokens, settings for video."""
    ids = smol_tokenizer(
        folder,
        places=False,
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        extra_special_tokens={},
    )
    write_json(folder / "chat_template.json", {"chat_template": SMOL_TEMPLATE})
    video = {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": TILE}}
    settings = image_processor("SmolVLM", longest_edge, processor_class="SmolVLMProcessor", video_sampling=video)
    write_json(folder / "preprocessor_config.json", settings)
    write_json(folder / "processor_config.json", {"image_seq_len": 4, "processor_class": "SmolVLMProcessor"})
    config = {
        "architectures": ["SmolVLMForConditionalGeneration"],
        "image_token_id": ids["<image>"],
        "model_type": "smolvlm",
        "pad_token_id": 128002,
        "scale_factor": 3,
        "text_config": text_config(
            bos_token_id=1, eos_token_id=2, pad_token_id=2, rope_theta=130000.0, torch_dtype="float32"
        ),
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "transformers_version": "4.47.1",
        "vision_config": vision_config(patch=10, model_type="smolvlm_vision"),
    }
    ends = {"bos_token_id": ids["<|im_start|>"], "eos_token_id": ids["<end_of_utterance>"], "pad_token_id": 2}
    return save_old(folder, config, ends=ends)


def make_idefics3(folder: Path, *, longest_edge: int = TILE) -> Captioner:
    """Idefics3-8B-Llama3: no processor_config.json, rotary frequencies of Llama 3.1, two ends, a start token."""
    ids = save_tokenizer(
        folder,
        ("<|begin_of_text|>", "<|end_of_text|>", "<fake_token_around_image>", "<image>", "<end_of_utterance>"),
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
        tokenizer_class="PreTrainedTokenizerFast",
    )
    write_json(folder / "chat_template.json", {"chat_template": LLAMA_TEMPLATE})
    settings = image_processor("Idefics3", longest_edge, processor_class="Idefics3Processor")
    write_json(folder / "preprocessor_config.json", settings)
    rope = {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 64,
        "rope_type": "llama3",
    }
    config = {
        "architectures": ["Idefics3ForConditionalGeneration"],
        "image_token_id": ids["<image>"],
        "model_type": "idefics3",
        "scale_factor": 2,
        "text_config": text_config(rope_scaling=rope, rope_theta=500000.0, pad_token_id=ids["<|end_of_text|>"]),
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "transformers_version": "4.44.0",
        "vision_config": vision_config(patch=10, model_type="idefics3"),
    }
    ends = {
        "bos_token_id": ids["<|begin_of_text|>"],
        "eos_token_id": [ids["<|end_of_text|>"], ids["<end_of_utterance>"]],
        "pad_token_id": ids["<|end_of_text|>"],
    }
    return save_old(folder, config, ends=ends)


def make_v5_shards(folder: Path, *, longest_edge: int = TILE) -> Captioner:
    """A fine-tune saved by transformers 5 in bfloat16: one processor_config.json, chat_template.jinja, shards."""
    ids = smol_tokenizer(folder, places=True, tokenizer_class="TokenizersBackend", backend="tokenizers")
    (folder / "chat_template.jinja").write_text(SMOL_TEMPLATE, encoding="utf-8")
    pictures = image_processor("SmolVLM", longest_edge, data_format="channels_first", return_row_col_info=False)
    write_json(
        folder / "processor_config.json",
        {
            "image_processor": {**pictures, "image_processor_type": "SmolVLMImageProcessorPil"},
            "image_seq_len": 4,
            "processor_class": "SmolVLMProcessor",
            "video_processor": {**pictures, "video_processor_type": "SmolVLMVideoProcessor", "num_frames": 64},
        },
    )
    config = SmolVLMConfig(
        text_config=text_config(bos_token_id=ids["<|im_start|>"], eos_token_id=ids["<end_of_utterance>"]),
        vision_config=vision_config(),
        image_token_id=ids["<image>"],
        scale_factor=4,
        tie_word_embeddings=False,
    )
    model = SmolVLMForConditionalGeneration(config)
    random_weights(model)
    model.generation_config.eos_token_id = ids["<end_of_utterance>"]
    round_to_bfloat16(model)
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder, max_shard_size="200KB")
    assert len(json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]) > 1
    return captioner(model)


CASES = (
    Case(name="smolvlm-v4", family="smolvlm", make=make_smolvlm),
    Case(name="smolvlm-v5-bf16-shards", family="smolvlm", make=make_v5_shards),
    Case(name="smolvlm2", family="smolvlm", make=make_smolvlm2),
    Case(name="idefics3-untied", family="smolvlm", make=make_idefics3),
)

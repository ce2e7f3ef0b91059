"""FastVLM in the Transformers layout and in Apple's own, the latter by an inverse of the key table written anew."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import FastVlmConfig, FastVlmForConditionalGeneration, GenerationConfig

from tests.checkpoints._case import Captioner, Case, round_to_bfloat16, tiny_tokenizer, useful_weights, write_json

SIZE = 128
VOCABULARY = 352
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LIST_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN2_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LAYERS = (1, 2, 1, 1, 1)
WIDTHS = (16, 32, 64, 64, 128)
HEAD = "model.vision_tower.vision_tower.model.head.proj"
"""A classifier that Apple's tower was trained with and that FastVLM has no use for."""


def text_config(**more: object) -> dict[str, Any]:
    return {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "rope_theta": 5000.0,
        "hidden_act": "silu",
        **more,
    }


def build(image_id: int, *, tied: bool, end: int) -> FastVlmForConditionalGeneration:
    """A FastVLM whose tower has the five stages of FastViTHD, with random weights."""
    config = FastVlmConfig(
        text_config=text_config(model_type="qwen2", eos_token_id=end, tie_word_embeddings=tied),
        vision_config={
            "model_type": "timm_wrapper",
            "architecture": "fastvit_mci3",
            "do_pooling": True,
            "hidden_size": 2 * WIDTHS[-1],
            "num_labels": 0,
            "model_args": {
                "inference_mode": True,
                "layers": list(LAYERS),
                "embed_dims": list(WIDTHS),
                "mlp_ratios": [2] * 5,
            },
        },
        image_token_index=image_id,
        image_seq_length=4,
        tie_word_embeddings=tied,
    )
    model = FastVlmForConditionalGeneration(config)
    useful_weights(model)
    with torch.no_grad():
        model.lm_head.weight[image_id] = 0  # nothing could take the place of an image token in an answer
    return model


def captioner(model: FastVlmForConditionalGeneration) -> Captioner:
    model.train(False)

    def features(pixels: Tensor) -> Tensor:
        rows: Tensor = model.get_image_features(pixels, return_dict=True).pooler_output
        return rows.flatten(0, -2)

    return Captioner(model=model, features=features, inputs=lambda pixels: {"pixel_values": pixels})


def make_transformers(folder: Path) -> Captioner:
    """As transformers 5 saves it: a tied head, processor_config.json, a template that takes lists of parts."""
    tokenizer = tiny_tokenizer((*SPECIAL, "<image>"), vocab_size=VOCABULARY - 8)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "TokenizersBackend"}
    write_json(folder / "tokenizer_config.json", settings)
    (folder / "chat_template.jinja").write_text(LIST_TEMPLATE, encoding="utf-8")
    pictures = {
        "crop_size": {"height": SIZE, "width": SIZE},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.0, 0.0, 0.0],
        "image_processor_type": "CLIPImageProcessorFast",
        "image_std": [1.0, 1.0, 1.0],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": SIZE},
    }
    processor = {"image_processor": pictures, "image_token": "<image>", "patch_size": 64}
    write_json(folder / "processor_config.json", {**processor, "processor_class": "LlavaProcessor"})
    end = tokenizer.token_to_id("<|im_end|>")
    model = build(tokenizer.token_to_id("<image>"), tied=True, end=end)
    model.generation_config.eos_token_id = end
    model.save_pretrained(folder)
    return captioner(model)


def apple_tower_name(name: str) -> str:
    """The name in Apple's tower of a tensor of timm's ``fastvit_mci3``."""
    if found := re.fullmatch(r"stages\.(\d)\.(blocks|downsample|pos_emb)\.(.+)", name):
        stage, part, rest = int(found[1]), found[2], found[3]
        entries = {
            "blocks": {0: 0, 1: 2, 2: 4, 3: 7, 4: 10},
            "downsample": {1: 1, 2: 3, 3: 5, 4: 8},
            "pos_emb": {3: 6, 4: 9},
        }
        rest = re.sub(r"^(\d+)\.mlp\.", r"\1.convffn.", rest)
        rest = re.sub(r"\.(layer_scale|layer_scale_1|layer_scale_2)\.gamma$", r".\1", rest)
        if part == "downsample":  # a large kernel, then a MobileOne block
            rest = rest.replace("proj.0.reparam_conv.", "proj.0.lkb_reparam.")
        return f"network.{entries[part][stage]}.{rest}"
    for ours, theirs in (
        ("stem.", "patch_embed."),
        ("final_conv.se.fc1.", "conv_exp.se.reduce."),
        ("final_conv.se.fc2.", "conv_exp.se.expand."),
        ("final_conv.", "conv_exp."),
    ):
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise AssertionError(name)


def apple_checkpoint_name(name: str) -> str:
    """The name in Apple's layout of a tensor of ``FastVlmForConditionalGeneration``."""
    tower = "model.vision_tower.timm_model."
    if name.startswith(tower):
        return "model.vision_tower.vision_tower.model." + apple_tower_name(name.removeprefix(tower))
    name = re.sub(r"^model\.multi_modal_projector\.linear_1\.", "model.mm_projector.0.", name)
    name = re.sub(r"^model\.multi_modal_projector\.linear_2\.", "model.mm_projector.2.", name)
    return re.sub(r"^model\.language_model\.", "model.", name)


def apple_weights(model: FastVlmForConditionalGeneration) -> dict[str, Tensor]:
    """All tensors by Apple's names, with the classifier that is not used."""
    named = {apple_checkpoint_name(name): tensor.contiguous() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del named["lm_head.weight"]
    return {**named, HEAD: torch.zeros(2 * WIDTHS[-1], 8)}


def write_slow_tokenizer(folder: Path) -> dict[str, int]:
    """Write Qwen2's slow files as Apple has them, none of which knows ``<image>``; returns the special tokens' ids."""
    tokenizer = tiny_tokenizer(SPECIAL, vocab_size=VOCABULARY - 8)
    model = json.loads(tokenizer.to_str())["model"]
    ids = {token: int(tokenizer.token_to_id(token)) for token in SPECIAL}
    write_json(folder / "vocab.json", {token: i for token, i in model["vocab"].items() if token not in ids})
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    write_json(folder / "added_tokens.json", ids)
    write_json(
        folder / "special_tokens_map.json",
        {"additional_special_tokens": list(SPECIAL[1:]), "eos_token": SPECIAL[2], "pad_token": SPECIAL[0]},
    )
    described = {
        str(i): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for token, i in ids.items()
    }
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "added_tokens_decoder": described,
            "additional_special_tokens": list(SPECIAL[1:]),
            "bos_token": None,
            "chat_template": QWEN2_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "eos_token": SPECIAL[2],
            "errors": "replace",
            "model_max_length": 512,
            "pad_token": SPECIAL[0],
            "padding_side": "right",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        },
    )
    return ids


def apple_config(*, end: int, tower: str = f"mobileclip_l_{SIZE}", **more: object) -> dict[str, Any]:
    """Apple's flat config.json, with the remote code that is never run."""
    return {
        "architectures": ["LlavaQwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "auto_map": {
            "AutoConfig": "llava_qwen.LlavaConfig",
            "AutoModelForCausalLM": "llava_qwen.LlavaQwen2ForCausalLM",
        },
        "bos_token_id": None,
        "eos_token_id": end,
        "freeze_mm_mlp_adapter": False,
        "image_aspect_ratio": "pad",
        "image_grid_pinpoints": None,
        "initializer_range": 0.02,
        "max_window_layers": 24,
        "mm_hidden_size": 2 * WIDTHS[-1],
        "mm_patch_merge_type": "flat",
        "mm_projector_lr": None,
        "mm_projector_type": "mlp2x_gelu",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": tower,
        "model_type": "llava_qwen2",
        "sliding_window": 32768,
        "tokenizer_model_max_length": 8192,
        "tokenizer_padding_side": "right",
        "torch_dtype": "bfloat16",
        "transformers_version": "4.39.3",
        "tune_mm_mlp_adapter": False,
        "unfreeze_mm_vision_tower": True,
        "use_cache": True,
        "use_mm_proj": True,
        "use_sliding_window": False,
        **text_config(**more),
    }


def make_apple(folder: Path) -> Captioner:
    """As Apple's 7B lies on the Hub: bfloat16, two shards with an index, a head of its own."""
    ids = write_slow_tokenizer(folder)
    end = ids[SPECIAL[2]]
    write_json(folder / "config.json", apple_config(end=end, tie_word_embeddings=False))
    write_json(folder / "generation_config.json", {"eos_token_id": [end, ids[SPECIAL[0]]]})
    model = build(max(ids.values()) + 1, tied=False, end=end)
    round_to_bfloat16(model)
    weights = {n: w.bfloat16() if w.is_floating_point() else w for n, w in apple_weights(model).items()}
    names = [f"model-{i + 1:05}-of-00002.safetensors" for i in range(2)]
    places = {name: names[i % 2] for i, name in enumerate(weights)}
    for file in names:
        save_file({n: weights[n] for n in weights if places[n] == file}, folder / file, metadata={"format": "pt"})
    size = sum(tensor.nbytes for tensor in weights.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": places})
    model.generation_config = GenerationConfig.from_pretrained(folder)
    return captioner(model)


def make_apple_tied(folder: Path) -> Captioner:
    """As a small one: one file in float32, whose head is the embedding table."""
    ids = write_slow_tokenizer(folder)
    end = ids[SPECIAL[2]]
    write_json(folder / "config.json", apple_config(end=end, tie_word_embeddings=True))
    write_json(folder / "generation_config.json", {"eos_token_id": end})
    model = build(max(ids.values()) + 1, tied=True, end=end)
    save_file(apple_weights(model), folder / "model.safetensors", metadata={"format": "pt"})
    model.generation_config = GenerationConfig.from_pretrained(folder)
    return captioner(model)


CASES = (
    Case(name="fastvlm-transformers", family="fastvlm", make=make_transformers),
    Case(name="fastvlm-apple-shards", family="fastvlm", make=make_apple),
    Case(name="fastvlm-apple-tied", family="fastvlm", make=make_apple_tied),
)

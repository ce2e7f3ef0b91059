"""LLaVA 1.5, LLaVA with SigLIP and Qwen2, and LLaVA-OneVision, as they lie on the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import processors
from torch import Tensor
from transformers import (
    AutoConfig,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaOnevisionForConditionalGeneration,
)

from tests.checkpoints._case import Captioner, Case, tiny_tokenizer, useful_weights, write_json

Model = LlavaForConditionalGeneration | LlavaOnevisionForConditionalGeneration

VOCABULARY = 352
IMAGES_FIRST = (
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
)
TEXT_NEXT = (
    "{# Render all text next #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}TEXT{% endfor %}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}TEXT{% endgeneration %}{% endfor %}{% endif %}"
)
VICUNA_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    + IMAGES_FIRST
    + "{{ '<image>\n' }}{% endfor %}"
    + TEXT_NEXT.replace("TEXT", "{{ content['text'] + ' '}}")
    + "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
QWEN2_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}"
    + IMAGES_FIRST
    + "{{ '<image>' }}{% endfor %}"
    + TEXT_NEXT.replace("TEXT", "{{ '\n' + content['text'] }}")
    + "{{'<|im_end|>'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
OLD_NAMES = (
    ("lm_head.", "language_model.lm_head."),
    ("model.language_model.", "language_model.model."),
    ("model.vision_tower.", "vision_tower.vision_model."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("model.image_newline", "image_newline"),
)
"""From today's names of tensors to those of transformers 4."""


def text_config(kind: str, **more: object) -> dict[str, Any]:
    return {
        "model_type": kind,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        **more,
    }


def vision_config(kind: str, *, size: int, **more: object) -> dict[str, Any]:
    return {
        "model_type": kind,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": size,
        "patch_size": 14,
        **more,
    }


def save_tokenizer(folder: Path, special: tuple[str, ...], **settings: object) -> dict[str, int]:
    """Write tokenizer.json and tokenizer_config.json; returns the ids of the ``special`` tokens."""
    tokenizer = tiny_tokenizer(special, vocab_size=VOCABULARY - 8)
    ids = {token: int(tokenizer.token_to_id(token)) for token in special}
    if "<s>" in ids:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", ids["<s>"])]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"clean_up_tokenization_spaces": False, **settings})
    return ids


def qwen2_tokenizer(folder: Path, **settings: object) -> dict[str, int]:
    return save_tokenizer(
        folder,
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"),
        **{"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "Qwen2Tokenizer", **settings},
    )


def random_weights(model: Model) -> None:
    """Useful ones, with which a model never answers with an image token: nothing could take its place."""
    useful_weights(model)
    with torch.no_grad():
        model.lm_head.weight[model.config.image_token_index] = 0
        if isinstance(model, LlavaOnevisionForConditionalGeneration):
            newline = model.model.image_newline
            newline.copy_(torch.randn(newline.shape, generator=torch.Generator().manual_seed(1)))


def captioner(model: Model) -> Captioner:
    """The PyTorch side, for one picture that is not cut into tiles."""
    model.train(False)

    def inputs(pixels: Tensor) -> dict[str, Any]:
        if isinstance(model, LlavaForConditionalGeneration):
            return {"pixel_values": pixels}
        # a picture among several is not tiled; that there is but this one of the two shortens the list, no more
        return {"pixel_values": pixels, "image_sizes": torch.tensor([pixels.shape[2:]]), "batch_num_images": [2]}

    def features(pixels: Tensor) -> Tensor:
        return torch.cat(tuple(model.get_image_features(**inputs(pixels), return_dict=True).pooler_output))

    return Captioner(model=model, features=features, inputs=inputs)


def old_name(name: str) -> str:
    """The name of a tensor in a checkpoint of transformers 4."""
    for ours, theirs in OLD_NAMES:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise AssertionError(name)


def save_old(folder: Path, config: dict[str, Any], *, shards: int = 1, **ends: object) -> Captioner:
    """Write config.json as it is given, and weights by the names of transformers 4, in ``shards`` files."""
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"_from_model_config": True, **ends})
    read = AutoConfig.from_pretrained(folder)
    kind = LlavaForConditionalGeneration if read.model_type == "llava" else LlavaOnevisionForConditionalGeneration
    model = kind(read)
    random_weights(model)
    weights = {old_name(name): tensor.contiguous() for name, tensor in model.state_dict().items()}
    if read.tie_word_embeddings:
        del weights["language_model.lm_head.weight"]
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        names = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
        places = {name: names[i % shards] for i, name in enumerate(weights)}
        for file in names:
            save_file({n: weights[n] for n in weights if places[n] == file}, folder / file, metadata={"format": "pt"})
        total = sum(tensor.nbytes for tensor in weights.values())
        index = {"metadata": {"total_size": total}, "weight_map": places}
        write_json(folder / "model.safetensors.index.json", index)
    model.generation_config = GenerationConfig.from_pretrained(folder)
    return captioner(model)


def make_llava(folder: Path, **text: object) -> Captioner:
    """llava-1.5-7b-hf: CLIP without its CLS token, Llama with a head of its own, a start token, three shards."""
    ids = save_tokenizer(
        folder,
        ("<unk>", "<s>", "</s>", "<image>", "<pad>"),
        add_bos_token=True,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        image_token="<image>",
        padding_side="left",
        processor_class="LlavaProcessor",
        tokenizer_class="LlamaTokenizer",
    )
    write_json(folder / "chat_template.json", {"chat_template": VICUNA_TEMPLATE})
    write_json(
        folder / "preprocessor_config.json",
        {
            "crop_size": {"height": 56, "width": 56},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_processor_type": "CLIPImageProcessor",
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "processor_class": "LlavaProcessor",
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"shortest_edge": 56},
        },
    )
    write_json(
        folder / "processor_config.json",
        {
            "image_token": "<image>",
            "num_additional_image_tokens": 1,
            "patch_size": 14,
            "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": "default",
        },
    )
    config = {
        "architectures": ["LlavaForConditionalGeneration"],
        "ignore_index": -100,
        "image_seq_length": 576,
        "image_token_index": ids["<image>"],
        "model_type": "llava",
        "pad_token_id": ids["<pad>"],
        "projector_hidden_act": "gelu",
        "text_config": text_config(
            "llama", **{"_name_or_path": "lmsys/vicuna-7b-v1.5", "torch_dtype": "float32", **text}
        ),
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "transformers_version": "4.36.0.dev0",
        "vision_config": vision_config(
            "clip_vision_model", size=56, projection_dim=32, vocab_size=32000, intermediate_size=64
        ),
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "vocab_size": VOCABULARY,
    }
    return save_old(
        folder, config, shards=3, bos_token_id=ids["<s>"], eos_token_id=ids["</s>"], pad_token_id=ids["<pad>"]
    )


def make_llava_siglip(folder: Path) -> Captioner:
    """A fine-tune of llava-interleave-qwen-0.5b-hf, saved by transformers 5 in bfloat16; two layers are read."""
    ids = qwen2_tokenizer(folder, tokenizer_class="TokenizersBackend", backend="tokenizers")
    (folder / "chat_template.jinja").write_text(QWEN2_TEMPLATE, encoding="utf-8")
    write_json(
        folder / "processor_config.json",
        {
            "image_processor": {
                "data_format": "channels_first",
                "do_convert_rgb": True,
                "do_normalize": True,
                "do_rescale": True,
                "do_resize": True,
                "image_mean": [0.5, 0.5, 0.5],
                "image_processor_type": "SiglipImageProcessorPil",
                "image_std": [0.5, 0.5, 0.5],
                "resample": 3,
                "rescale_factor": 1 / 255,
                "size": {"height": 64, "width": 64},
            },
            "image_token": "<image>",
            "num_additional_image_tokens": 0,
            "patch_size": 14,
            "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": "full",
        },
    )
    end = ids["<|im_end|>"]
    config = LlavaConfig(
        text_config=text_config("qwen2", eos_token_id=end, tie_word_embeddings=True),
        vision_config=vision_config("siglip_vision_model", size=64, vision_use_head=False),
        image_token_index=ids["<image>"],
        vision_feature_layer=[-3, -1],
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    random_weights(model)
    model.generation_config.eos_token_id = end
    narrow: Any = model
    narrow.to(torch.bfloat16).save_pretrained(folder, max_shard_size="100KB")
    names = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))["weight_map"]
    assert "lm_head.weight" not in names
    assert len(set(names.values())) > 1
    # read anew, because rounding a model rounds its rotary frequencies too
    return captioner(LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32))


def make_onevision(folder: Path) -> Captioner:
    """llava-onevision-qwen2-0.5b-ov-hf: a row for the line break behind the base tile, settings for anyres tiles."""
    ids = qwen2_tokenizer(folder, processor_class="LlavaOnevisionProcessor")
    write_json(folder / "chat_template.json", {"chat_template": QWEN2_TEMPLATE})
    pinpoints = [[64 * rows, 64 * columns] for rows in range(1, 4) for columns in range(1, 4)]
    write_json(
        folder / "preprocessor_config.json",
        {
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_pad": True,
            "do_rescale": True,
            "do_resize": True,
            "image_grid_pinpoints": pinpoints,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "LlavaOnevisionImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "processor_class": "LlavaOnevisionProcessor",
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"height": 64, "width": 64},
        },
    )
    write_json(
        folder / "processor_config.json",
        {
            "image_token": "<image>",
            "num_image_tokens": 16,
            "processor_class": "LlavaOnevisionProcessor",
            "video_token": "<video>",
            "vision_feature_select_strategy": "full",
        },
    )
    config = {
        "architectures": ["LlavaOnevisionForConditionalGeneration"],
        "image_grid_pinpoints": pinpoints,
        "image_token_index": ids["<image>"],
        "model_type": "llava_onevision",
        "projector_hidden_act": "gelu",
        "text_config": text_config(
            "qwen2",
            architectures=["Qwen2ForCausalLM"],
            eos_token_id=ids["<|im_end|>"],
            rope_theta=1000000.0,
            tie_word_embeddings=True,
            torch_dtype="float32",
            use_sliding_window=False,
        ),
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "transformers_version": "4.45.0.dev0",
        "use_image_newline_parameter": True,
        "video_token_index": ids["<video>"],
        "vision_aspect_ratio": "anyres_max_9",
        "vision_config": vision_config("siglip_vision_model", size=64, vision_use_head=False),
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
    }
    return save_old(folder, config, eos_token_id=[ids["<|im_end|>"], ids["<|endoftext|>"]])


CASES = (
    Case(name="llava-v4-clip-llama-shards", family="llava", make=make_llava),
    Case(name="llava-v5-siglip-qwen2-bf16", family="llava", make=make_llava_siglip),
    Case(name="llava-onevision", family="llava", make=make_onevision),
)

"""Write the trained models as checkpoints, in the file layouts of FastVLM (Transformers) and MobileCLIP2 (open_clip).

FastVLM's tower is published reparameterized and MobileCLIP2's is not; so are ours, and so export meets both. Weights
are stored as float16, from which the float32 web models are exported: nothing is lost between the two.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from timm.models import reparameterize_model
from torch import Tensor

from builder.embedded.architecture import (
    IMAGE_SIZE,
    IMAGE_TOKENS,
    STRIDE,
    TOWER_ARGS,
    TOWER_WIDTH,
    clip_config,
    text_config,
)
from builder.embedded.scenes import DESCRIBE, READ
from builder.embedded.train import Learner
from builder.embedded.vocabulary import CHAT_TEMPLATE, CLIP_CONTEXT, chat_tokenizer, clip_tokenizer, token_id

MEAN, STD = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]


def _half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in state.items()
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_vlm(learner: Learner, out: Path) -> None:
    """Write scenes-vlm as a Transformers ``fast_vlm`` checkpoint."""
    vocabulary = chat_tokenizer()
    end, pad, image = (token_id(vocabulary, mark) for mark in ("<|im_end|>", "<|endoftext|>", "<image>"))
    _write_vlm_weights(learner, out, end=end, pad=pad, image=image)
    vocabulary.save(str(out / "tokenizer.json"))
    _write_json(
        out / "generation_config.json",
        {"bos_token_id": pad, "eos_token_id": end, "pad_token_id": pad, "do_sample": False},
    )
    _write_json(
        out / "demo.json",
        {
            "prompts": [
                {"id": "describe", "label": "Describe", "text": DESCRIBE},
                {"id": "read", "label": "Read the text", "text": READ},
            ],
            "generation": {"max_new_tokens": 40},
        },
    )
    _write_vlm_processors(out)


def _write_vlm_weights(learner: Learner, out: Path, *, end: int, pad: int, image: int) -> None:
    from transformers import FastVlmConfig, FastVlmForConditionalGeneration

    config = FastVlmConfig(
        vision_config={
            "model_type": "timm_wrapper",
            "architecture": "fastvit_mci0",
            "do_pooling": True,
            "hidden_size": TOWER_WIDTH,
            "num_classes": 0,
            "model_args": {**TOWER_ARGS, "inference_mode": True},
        },
        text_config=text_config(bos=pad, eos=end),
        image_token_index=image,
        image_seq_length=IMAGE_TOKENS,
        tie_word_embeddings=True,
    )
    model = FastVlmForConditionalGeneration(config)
    tower = reparameterize_model(copy.deepcopy(learner.clip.visual.trunk).eval())
    state = {
        f"model.vision_tower.timm_model.{k}": v for k, v in tower.state_dict().items() if not k.startswith("head.")
    }
    state |= {
        f"model.multi_modal_projector.linear_{n}.{k}": v
        for n, at in ((1, 0), (2, 2))
        for k, v in learner.projector[at].state_dict().items()
    }
    state |= {f"model.language_{k}": v for k, v in learner.language.state_dict().items() if k.startswith("model.")}
    state["lm_head.weight"] = learner.language.lm_head.weight
    model.load_state_dict(state, strict=True)
    for parameter in model.parameters():
        parameter.data = parameter.data.half()
    for tensor in model.buffers():
        tensor.data = tensor.data.half() if tensor.is_floating_point() else tensor.data
    model.save_pretrained(out)


def _write_vlm_processors(out: Path) -> None:
    """What makes tokens of a text, and pixels of a picture."""
    _write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "add_prefix_space": False,
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "unk_token": None,
            "model_max_length": 1024,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    _write_json(
        out / "preprocessor_config.json",
        {
            "image_processor_type": "CLIPImageProcessor",
            "processor_class": "LlavaProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": {"shortest_edge": IMAGE_SIZE},
            "resample": 3,
            "do_center_crop": True,
            "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": MEAN,
            "image_std": STD,
        },
    )
    _write_json(
        out / "processor_config.json",
        {
            "processor_class": "LlavaProcessor",
            "image_token": "<image>",
            "num_additional_image_tokens": 0,
            "patch_size": STRIDE,
            "vision_feature_select_strategy": "full",
        },
    )


def write_clip(learner: Learner, out: Path) -> None:
    """Write scenes-clip as an open_clip checkpoint."""
    save_file(_half(learner.clip.state_dict()), out / "open_clip_model.safetensors")
    _write_json(
        out / "open_clip_config.json",
        {
            "model_cfg": clip_config(),
            "preprocess_cfg": {
                "mean": MEAN,
                "std": STD,
                "interpolation": "bilinear",
                "resize_mode": "shortest",
            },
        },
    )
    vocabulary = clip_tokenizer()
    vocabulary.save(str(out / "tokenizer.json"))
    model = json.loads(vocabulary.to_str())["model"]
    (out / "vocab.json").write_text(
        json.dumps(vocabulary.get_vocab(), ensure_ascii=False, sort_keys=True), encoding="utf-8"
    )
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (out / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    marks = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "!",
    }
    _write_json(
        out / "tokenizer_config.json",
        {**marks, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True, "model_max_length": CLIP_CONTEXT},
    )
    _write_json(out / "special_tokens_map.json", marks)


def write_checkpoints(work: Path, out: Path) -> None:
    """Write both checkpoints into ``out`` from the state that a training left in ``work``."""
    learner = Learner()
    state = torch.load(work / "state.pt", weights_only=True)
    learner.load_state_dict(state["learner"])
    learner.eval()
    training = {"images": state["step"] * state["batch"], "batch": state["batch"]}
    for name, write in (("scenes-vlm", write_vlm), ("scenes-clip", write_clip)):
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        write(learner, folder)
        _write_json(folder / "training.json", training)

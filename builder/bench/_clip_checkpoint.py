"""CLIP ViT-B/32 as OpenAI published it, in Transformers' layout with random weights: what optimum-onnx exports, too."""

from __future__ import annotations

from pathlib import Path

from builder.bench._checkpoints import CLIP_SPECIAL, TOWERS, Architecture, write_json
from builder.bench._tokenizers import write_tokenizer

SIZE = 224


def write_clip(folder: Path) -> None:
    """Write 151 million weights with CLIPConfig's defaults, which are those of ViT-B/32."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig

    torch.manual_seed(0)
    CLIPModel(CLIPConfig()).save_pretrained(folder)
    write_tokenizer(folder, tokens=CLIPTextConfig().vocab_size, special=CLIP_SPECIAL)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77})
    pictures = {
        "image_processor_type": "CLIPImageProcessor",
        "crop_size": {"height": SIZE, "width": SIZE},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": SIZE},
    }
    write_json(folder / "preprocessor_config.json", pictures)


CLIP = Architecture(name="CLIP-ViT-B-32", write=write_clip, components=TOWERS)

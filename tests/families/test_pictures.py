"""What the page is told about pictures, from the configs that checkpoints carry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.donut.image_processing_pil_donut import DonutImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from builder.errors import CheckpointError
from builder.families._pictures import image_facts
from builder.manifest import ImageFacts

Facts = tuple[int, str, str]
BLACK = (0.0, 0.0, 0.0)
SQUARE_96 = {"height": 96, "width": 96}
CROP_96 = {"size": {"shortest_edge": 96}, "do_center_crop": True, "crop_size": SQUARE_96}
LETTERBOX_96 = {
    "image_processor_type": "DonutImageProcessor",
    "size": {"longest_edge": 96},
    "do_pad": True,
    "pad_size": SQUARE_96,
}

SAVED: list[tuple[Any, Facts]] = [
    (CLIPImageProcessorPil(), (224, "crop", "bicubic")),
    (
        CLIPImageProcessorPil(size={"shortest_edge": 256}, crop_size={"height": 256, "width": 256}, resample=2),
        (256, "crop", "bilinear"),
    ),
    (SiglipImageProcessorPil(), (224, "stretch", "bicubic")),
    (SiglipImageProcessorPil(size={"height": 384, "width": 384}, resample=2), (384, "stretch", "bilinear")),
    (ViTImageProcessorPil(), (224, "stretch", "bilinear")),
    (
        SmolVLMImageProcessorPil(size={"longest_edge": 2048}, max_image_size={"longest_edge": 512}),
        (512, "stretch", "lanczos"),
    ),
    (Idefics3ImageProcessorPil(), (364, "stretch", "lanczos")),
    (LlavaOnevisionImageProcessorPil(), (384, "stretch", "bicubic")),
    (LlavaImageProcessorPil(), (224, "crop", "bicubic")),
    (LlavaImageProcessorPil(do_pad=True, image_mean=BLACK), (224, "letterbox", "bicubic")),
    (DonutImageProcessorPil(size={"height": 512, "width": 512}), (512, "letterbox", "bilinear")),
]

WRITTEN: dict[str, tuple[Mapping[str, Any], Facts]] = {
    "plain numbers": (
        {"feature_extractor_type": "CLIPFeatureExtractor", "size": 336, "crop_size": 336, "do_center_crop": True},
        (336, "crop", "bicubic"),
    ),
    "a plain number without a crop": (
        {"image_processor_type": "ViTImageProcessor", "size": 224},
        (224, "stretch", "bilinear"),
    ),
    "the suffix Fast": ({"image_processor_type": "CLIPImageProcessorFast", **CROP_96}, (96, "crop", "bicubic")),
    "no class": ({**CROP_96, "resample": 1}, (96, "crop", "lanczos")),
    "a crop of what is stretched": (
        {"size": SQUARE_96, "do_center_crop": True, "crop_size": 96, "resample": 3},
        (96, "stretch", "bicubic"),
    ),
    "a letterbox for transformers.js": ({**LETTERBOX_96, "resample": 3}, (96, "letterbox", "bicubic")),
    "an edge of LLaVA-OneVision": (
        {"image_processor_type": "LlavaOnevisionImageProcessor", "size": {"shortest_edge": 384}},
        (384, "stretch", "bicubic"),
    ),
}

REFUSED: dict[str, tuple[Mapping[str, Any], str]] = {
    "no size": ({"image_processor_type": "CLIPImageProcessor"}, '"size"'),
    "a size of nothing": ({"size": {"height": 0, "width": 96}}, '"height"'),
    "a size of any length": ({"size": {"longest_edge": 980}}, "no fixed input size"),
    "a size within bounds": ({"size": {"shortest_edge": 3136, "longest_edge": 12845056}}, "no fixed input size"),
    "a longer edge that stays": ({"size": {"shortest_edge": 96}}, "leaves the longer one"),
    "a smaller crop": ({**CROP_96, "size": {"shortest_edge": 110}}, "cuts 96 × 96"),
    "a smaller crop of what is stretched": (
        {"size": SQUARE_96, "do_center_crop": True, "crop_size": 90},
        "stretches pictures and then cuts",
    ),
    "a nearest filter": ({**CROP_96, "resample": 0}, "resampling 0"),
    "a filter by name": ({**CROP_96, "resample": "bicubic"}, "resampling 'bicubic'"),
    "a tile without a size": ({"image_processor_type": "SmolVLMImageProcessor"}, '"max_image_size"'),
    "padding in grey": (
        {"image_processor_type": "LlavaImageProcessor", "do_pad": True, "image_mean": [0.5, 0.5, 0.5], **CROP_96},
        "pads with the colour",
    ),
    "padding to a page of paper": (json.loads(DonutImageProcessorPil().to_json_string()), "pads to 1920 × 2560"),
}


def as_facts(facts: Facts, tokens: int | None = None) -> ImageFacts:
    size, fit, resample = facts
    return ImageFacts(width=size, height=size, tokens=tokens, fit=fit, resample=resample)


@pytest.mark.parametrize(("processor", "expected"), SAVED, ids=lambda value: type(value).__name__)
def test_image_facts_of_a_config_that_transformers_saves_follow_its_class(processor: Any, expected: Facts) -> None:
    assert image_facts(json.loads(processor.to_json_string())) == as_facts(expected)


@pytest.mark.parametrize("name", WRITTEN)
def test_image_facts_of_an_older_or_shorter_config_are_the_same(name: str) -> None:
    config, expected = WRITTEN[name]
    assert image_facts(config, tokens=9) == as_facts(expected, tokens=9)


def test_image_facts_of_a_stretched_rectangle_keep_its_two_edges() -> None:
    facts = image_facts({"size": {"height": 64, "width": 128}})
    assert (facts.width, facts.height, facts.fit) == (128, 64, "stretch")


@pytest.mark.parametrize("name", REFUSED)
def test_image_facts_of_a_config_that_the_page_cannot_follow_are_refused(name: str) -> None:
    config, reason = REFUSED[name]
    with pytest.raises(CheckpointError) as refusal:
        image_facts(config)
    assert reason in refusal.value.message
    assert refusal.value.hint

"""SmolVLM and Idefics3: padding and positions as in PyTorch, tiles token for token, and what is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, SmolVLMConfig, SmolVLMForConditionalGeneration
from transformers.models.smolvlm.modeling_smolvlm import SmolVLMVisionEmbeddings
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from builder.errors import CheckpointError
from builder.export import export
from builder.export.decoder import build_decoder, save_plain
from builder.families import Language, Parts, find_family
from builder.families.smolvlm import CHAT, VisionEncoder
from builder.sessions import Session
from tests.checkpoints._case import Captioner, useful_weights
from tests.checkpoints._web import WebCaptioner
from tests.checkpoints.smolvlm import (
    CASES,
    SMOL_TEMPLATE,
    TILE,
    make_idefics3,
    make_smolvlm,
    make_smolvlm2,
    make_v5_shards,
    text_config,
    vision_config,
)

WEB_TEMPLATE = Path(__file__).parents[2] / "web_template"
NEW_TOKENS = 32
QUESTION = "what is in the picture ?"
MOST_NODES_PER_LAYER = 12

Make = Callable[..., Captioner]
Exported = tuple[Path, Captioner]


def load(folder: Path) -> Parts:
    return find_family(folder).load(folder)


def edit(path: Path, **changes: object) -> None:
    """Lay ``changes`` over a JSON file; None takes a key away."""
    raw = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    raw = {key: value for key, value in {**raw, **changes}.items() if value is not None}
    path.write_text(json.dumps(raw), encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="module", params=(make_smolvlm, make_idefics3), ids=("smolvlm", "idefics3"))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A web model that cuts pictures of two tiles' edge, and its PyTorch side."""
    folder = tmp_path_factory.mktemp("tiles")
    (folder / "checkpoint").mkdir()
    reference = request.param(folder / "checkpoint", longest_edge=2 * TILE)
    return export(str(folder / "checkpoint"), out=folder / "tiles-web").path, reference


def tiny_model(*, image_size: int, patch: int) -> SmolVLMForConditionalGeneration:
    config = SmolVLMConfig(
        text_config=text_config(num_hidden_layers=1),
        vision_config=vision_config(patch=patch, num_hidden_layers=1) | {"image_size": image_size},
        scale_factor=1,
    )
    return SmolVLMForConditionalGeneration(config).eval()


@pytest.mark.parametrize(
    ("image_size", "patch", "tile"),
    [(64, 2, 64), (55, 2, 55), (52, 2, 52), (28, 2, 56), (64, 2, 40)],
    ids=["32", "27-with-a-rest", "26", "tile-beyond-the-table", "tile-within-the-table"],
)
def test_positions_are_those_of_transformers_for_every_padding(image_size: int, patch: int, tile: int) -> None:
    encoder = VisionEncoder(tiny_model(image_size=image_size, patch=patch), tile)
    side = tile // patch
    theirs = SmolVLMVisionEmbeddings(encoder.vision.config)
    theirs.position_embedding = torch.nn.Embedding(theirs.num_positions, 1)
    theirs.patch_embedding = torch.nn.Conv2d(3, 1, patch, patch, bias=False)
    with torch.no_grad():
        theirs.patch_embedding.weight.zero_()
        theirs.position_embedding.weight.copy_(torch.arange(theirs.num_positions)[:, None])
        seen = torch.zeros(side * side + 1, side, side, dtype=torch.bool)
        for number in range(side * side):
            seen[number, : number // side + 1, : number % side + 1] = True
        seen[-1] = torch.rand(side, side, generator=torch.Generator().manual_seed(0)) < 0.5
        wanted = theirs(torch.zeros(len(seen), 3, tile, tile), seen).squeeze(-1).long()
        assert torch.equal(encoder._positions(seen.float()), wanted)
    assert len(wanted.unique()) > side


def picture_masks(prompts: int, pictures: int) -> Tensor:
    """Rectangles of pixels, mostly not of whole patches; the first picture is whole."""
    generator = torch.Generator().manual_seed(4)
    masks = torch.zeros(prompts * pictures, TILE, TILE, dtype=torch.bool)
    for number, mask in enumerate(masks):
        height, width = (int(i) for i in torch.randint(1, TILE + 1, (2,), generator=generator))
        mask[: height if number else TILE, : width if number else TILE] = True
    return masks.view(prompts, pictures, TILE, TILE)


def run_vision(path: Path, pixels: Tensor, mask: Tensor) -> np.ndarray:
    session = Session(path / "onnx/vision_encoder.onnx")
    return session.run({"pixel_values": pixels.numpy(), "pixel_attention_mask": mask.numpy()})["image_features"]


def reference_features(reference: Captioner, pixels: Tensor, mask: Tensor) -> Tensor:
    with torch.no_grad():
        rows = reference.model.model.get_image_features(pixels, mask, return_dict=True).pooler_output
    return torch.cat(rows) if isinstance(rows, list) else rows.flatten(0, -2)


@pytest.mark.slow
@pytest.mark.parametrize(("prompts", "pictures"), [(1, 1), (1, 5), (2, 3), (3, 1)])
def test_features_agree_with_pytorch_where_pictures_are_padded(prompts: int, pictures: int, exported: Exported) -> None:
    path, reference = exported
    pixels = torch.randn(prompts, pictures, 3, TILE, TILE, generator=torch.Generator().manual_seed(1))
    mask = picture_masks(prompts, pictures)
    got = run_vision(path, pixels, mask)
    wanted = reference_features(reference, pixels, mask)
    assert 0.1 < wanted.std() < 10
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted.numpy(), atol=1e-4)
    if pictures > 1:
        whole = run_vision(path, pixels, torch.ones_like(mask))
        assert np.abs(whole - got).max() > 0.1, "the mask is of no effect"


@pytest.mark.slow
def test_pictures_of_zeros_keep_their_rows_where_pytorch_drops_them(exported: Exported) -> None:
    path, reference = exported
    pixels = torch.randn(2, 3, 3, TILE, TILE, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 3, TILE, TILE, dtype=torch.bool)
    pixels[1, 1:], mask[1, 1:] = 0, False
    got = run_vision(path, pixels, mask)
    wanted = reference_features(reference, pixels, mask)
    assert np.isfinite(got).all()
    assert len(got) == 6
    np.testing.assert_allclose(got[:4].reshape(wanted.shape), wanted.numpy(), atol=1e-4)


@pytest.mark.slow
def test_tiles_in_onnxruntime_are_answered_token_for_token(exported: Exported) -> None:
    path, reference = exported
    web = WebCaptioner(path)
    pixels = torch.randn(1, 5, 3, TILE, TILE, generator=torch.Generator().manual_seed(2))
    mask = torch.ones(1, 5, TILE, TILE, dtype=torch.bool)
    features = run_vision(path, pixels, mask)
    rows = features.reshape(-1, features.shape[-1])
    prompt = [7, 8, *[web.image_token] * len(rows), 9, 10, 11]
    ends = reference.model.generation_config.eos_token_id
    got = web.generate(prompt, rows, NEW_TOKENS, banned=frozenset([ends] if isinstance(ends, int) else ends))
    assert got == generate(reference, prompt, pixels)


def generate(reference: Captioner, prompt: list[int], pixels: Tensor) -> list[int]:
    """What PyTorch answers to pixels [1, pictures, 3, H, W], whole ones."""
    ids = torch.tensor([prompt])
    with torch.no_grad():
        made = reference.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixels,
            pixel_attention_mask=torch.ones(1, pixels.shape[1], *pixels.shape[3:], dtype=torch.bool),
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            do_sample=False,
        )
    return [int(token) for token in made[0, ids.shape[1] :]]


def cut(picture: np.ndarray, *, splitting: bool) -> Tensor:
    """What a processor makes of a picture of 2 × 2 tiles or one tile, as transformers.js resizes: [tiles, 3, H, W]."""
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    small = torch.nn.functional.interpolate(pixels, size=(TILE, TILE), mode="bilinear", align_corners=False)
    if not splitting:
        return small
    tiles = [pixels[:, :, y : y + TILE, x : x + TILE] for y in (0, TILE) for x in (0, TILE)]
    return torch.cat([*tiles, small])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "pictures", "splitting"),
    [
        ({}, 1, True),
        ({"do_image_splitting": True}, 1, True),
        ({"do_image_splitting": False}, 1, False),
        ({"do_image_splitting": True}, 2, True),
        ({"do_image_splitting": False}, 3, False),
    ],
    ids=["as-configured", "split", "whole", "two-split", "three-whole"],
)
def test_tiles_in_node_are_answered_token_for_token(
    options: dict[str, bool], pictures: int, splitting: bool, exported: Exported, node: str, tmp_path: Path
) -> None:
    path, reference = exported
    noise = np.random.default_rng(6).integers(0, 256, size=(pictures, 2 * TILE, 2 * TILE, 3), dtype=np.uint8)
    files = [tmp_path / f"{number}.rgb" for number in range(pictures)]
    for file, picture in zip(files, noise, strict=True):
        file.write_bytes(picture.tobytes())
    request = {
        "web_template": str(WEB_TEMPLATE),
        "models": str(path.parent),
        "name": path.name,
        "pictures": [{"file": str(file), "width": 2 * TILE, "height": 2 * TILE} for file in files],
        "options": options,
        "question": QUESTION,
        "new_tokens": NEW_TOKENS,
        "pixels_out": str(tmp_path / "pixels.f32"),
    }
    command = [node, str(Path(__file__).with_name("run_smolvlm.mjs")), json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])

    wanted = torch.cat([cut(picture, splitting=splitting) for picture in noise])
    assert answer["dims"] == [1, *wanted.shape]
    pixels = torch.from_numpy(np.fromfile(request["pixels_out"], np.float32)).view(1, *wanted.shape)
    np.testing.assert_allclose(pixels[0], wanted, atol=1e-5)

    assert answer["prompt"] == expected_prompt(path, pictures, splitting=splitting)
    assert answer["output"][len(answer["prompt"]) :] == generate(reference, answer["prompt"], pixels)


def expected_prompt(path: Path, pictures: int, *, splitting: bool) -> list[int]:
    """The ids that transformers' own processor makes of the question."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    content = [*[{"type": "image"}] * pictures, {"type": "text", "text": QUESTION}]
    messages = [{"role": "user", "content": content}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    sides = 2 if splitting else 0
    length = read(path / "processor_config.json")["image_seq_len"]
    place = get_image_prompt_string(sides, sides, length, "<fake_token_around_image>", "<image>", "<global-img>")
    return [int(token) for token in tokenizer(text.replace("<image>", place)).input_ids]


@pytest.mark.slow
def test_decoder_has_few_nodes_per_layer(tmp_path: Path) -> None:
    counts = {}
    for layers in (2, 4):
        model = LlamaForCausalLM(LlamaConfig(**text_config(num_hidden_layers=layers)))
        useful_weights(model)
        folder = tmp_path / str(layers) / "plain"
        save_plain(Language(config=model.config, weights=model.state_dict()), folder)
        build_decoder(folder, tmp_path / f"{layers}.onnx", tolerance=1e-3)
        counts[layers] = len(onnx.load(tmp_path / f"{layers}.onnx", load_external_data=False).graph.node)
    per_layer = (counts[4] - counts[2]) / 2
    assert 1 <= per_layer <= MOST_NODES_PER_LAYER
    assert counts[2] - 2 * per_layer < 20, "nodes outside the layers"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_features_and_logits_are_of_order_one(case: Any, tmp_path: Path) -> None:
    reference = case.make(tmp_path)
    pixels = torch.randn(1, 3, TILE, TILE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = reference.features(pixels)
        image = reference.model.config.image_token_id
        ids = torch.tensor([[5, 6, *[image] * len(features), 7]])
        logits = reference.model(input_ids=ids, **reference.inputs(pixels)).logits
    assert 0.1 < features.std() < 10
    assert 0.1 < logits.std() < 10


def test_one_tile_is_what_a_page_feeds(tmp_path: Path) -> None:
    make_smolvlm(tmp_path, longest_edge=4 * TILE)
    image = load(tmp_path).image
    assert (image.width, image.height, image.tokens) == (TILE, TILE, 4)
    assert (image.fit, image.resample) == ("stretch", "lanczos")


def test_configs_of_both_generations_of_transformers_are_the_same(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("old", "new")]
    for folder, make in zip(folders, (make_smolvlm, make_v5_shards), strict=True):
        folder.mkdir()
        make(folder, longest_edge=4 * TILE)
    old, new = (load(folder).configs for folder in folders)
    stem = {"image_processor_type", "processor_class"}
    for name in ("preprocessor_config.json", "processor_config.json"):
        assert {k: v for k, v in old[name].items() if k not in stem} == {
            k: v for k, v in new[name].items() if k not in stem
        }
    assert old["preprocessor_config.json"]["image_processor_type"] == "Idefics3ImageProcessor"
    assert new["preprocessor_config.json"]["image_processor_type"] == "SmolVLMImageProcessor"
    assert new["processor_config.json"] == {"processor_class": "SmolVLMProcessor", "image_seq_len": 4}
    assert old["config.json"]["architectures"] == ["Idefics3ForConditionalGeneration"]
    assert new["config.json"]["architectures"] == ["SmolVLMForConditionalGeneration"]


def test_settings_that_a_config_leaves_out_are_those_of_transformers(tmp_path: Path) -> None:
    make_idefics3(tmp_path)
    kept = {"max_image_size": {"longest_edge": TILE}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(kept), encoding="utf-8")
    settings = load(tmp_path).configs["preprocessor_config.json"]
    # transformers.js would neither normalise nor take Lanczos
    assert settings["do_normalize"] is True
    assert settings["image_mean"] == settings["image_std"] == [0.5, 0.5, 0.5]
    assert settings["resample"] == 1
    assert settings["size"] == {"longest_edge": 1456}
    assert settings["max_image_size"] == kept["max_image_size"]


def test_ends_come_from_the_decoder_where_there_is_no_generation_config(tmp_path: Path) -> None:
    make_smolvlm2(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    assert load(tmp_path).configs["generation_config.json"] == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}


def test_template_of_the_family_writes_what_smolvlms_own_writes(tmp_path: Path) -> None:
    make_smolvlm(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    question = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "a cup."}]}
    written = [
        tokenizer.apply_chat_template(
            [question, answer, question], chat_template=template, add_generation_prompt=True, tokenize=False
        )
        for template in (SMOL_TEMPLATE, CHAT)
    ]
    assert written[0] == written[1]
    assert written[0].startswith("<|im_start|>User:<image>what")


def test_tied_head_is_left_out_and_an_untied_one_kept(tmp_path: Path) -> None:
    for name, make, there in (("tied", make_smolvlm, False), ("untied", make_idefics3, True)):
        (tmp_path / name).mkdir()
        make(tmp_path / name)
        language = load(tmp_path / name).language
        assert language is not None
        assert ("lm_head.weight" in language.weights) is there


def test_decoder_of_another_architecture_is_refused(tmp_path: Path) -> None:
    make_smolvlm2(tmp_path)
    text = read(tmp_path / "config.json")["text_config"]
    edit(tmp_path / "config.json", text_config={**text, "model_type": "mistral"})
    with pytest.raises(CheckpointError, match="'mistral'") as caught:
        load(tmp_path)
    assert "llama" in caught.value.hint


def test_wrong_number_of_image_tokens_is_refused(tmp_path: Path) -> None:
    make_smolvlm(tmp_path)
    edit(tmp_path / "processor_config.json", image_seq_len=169)
    with pytest.raises(CheckpointError, match=r"expects 169 tokens .* gives 4"):
        load(tmp_path)


def test_tile_that_cannot_be_shuffled_is_refused(tmp_path: Path) -> None:
    make_smolvlm(tmp_path)
    edit(tmp_path / "preprocessor_config.json", max_image_size={"longest_edge": 56})
    with pytest.raises(CheckpointError, match=r"7 × 7 patches .* 4 × 4"):
        load(tmp_path)


@pytest.mark.parametrize("tile", [{"longest_edge": None}, {"height": 64}, {"longest_edge": 4}])
def test_tile_without_a_size_is_refused(tile: dict[str, int | None], tmp_path: Path) -> None:
    make_smolvlm(tmp_path)
    edit(tmp_path / "preprocessor_config.json", max_image_size=tile)
    with pytest.raises(CheckpointError, match=r"max_image_size|tiles of 4 pixels"):
        load(tmp_path)


def test_image_token_that_the_tokenizer_numbers_otherwise_is_refused(tmp_path: Path) -> None:
    make_smolvlm(tmp_path)
    edit(tmp_path / "config.json", image_token_id=17)
    with pytest.raises(CheckpointError, match="<image> is token 350 of the tokenizer, 17 in config"):
        load(tmp_path)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    make_smolvlm(tmp_path)
    config = read(tmp_path / "config.json")
    edit(tmp_path / "config.json", vision_config={**config["vision_config"], "num_hidden_layers": 3})
    with pytest.raises(CheckpointError, match=r"no weights for model\.vision_model"):
        load(tmp_path)


def test_another_model_type_is_refused_where_the_family_is_given(tmp_path: Path) -> None:
    make_smolvlm(tmp_path)
    edit(tmp_path / "config.json", model_type="idefics2")
    with pytest.raises(CheckpointError, match="'idefics2'") as caught:
        find_family(tmp_path, "smolvlm").load(tmp_path)
    assert "idefics3" in caught.value.hint

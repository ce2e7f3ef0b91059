"""The app's own code against PyTorch and builder/tasks.py: every layout of every family, pictures of all shapes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from transformers.utils.chat_template_utils import render_jinja_template

from builder.manifest import ImageFacts, read_manifest
from builder.tasks import embed, fit_picture, pixel_values, read_object, read_tokenizer
from tests.checkpoints import CASES
from tests.checkpoints import Captioner as CaptionerReference
from tests.checkpoints._exported import Exported

ImportModule = Callable[[str], Any]
QUESTIONS = ["what is in the picture ?", "how many cups ?"]
TOKENS = 12
CAPTIONERS = ("fastvlm", "llava", "smolvlm")
REPRESENTATIVES = frozenset(
    {"fastvlm-transformers", "llava-onevision", "smolvlm2", "clip-v4", "mobileclip2-fastvit", "siglip2"}
)
"""One of each family: what the app does differently depends on the family alone. The other layouts are soaked."""
SEED = 11


def layout(name: str) -> Any:
    return pytest.param(name, marks=[] if name in REPRESENTATIVES else pytest.mark.soak)


def noise(width: int, height: int, seed: int = SEED) -> Image.Image:
    """A picture with something in every corner."""
    values = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def pixels_of(model: Any, picture: Image.Image) -> np.ndarray:
    from pictures import fit_picture as fit  # type: ignore[import-not-found]

    return np.asarray(fit(picture, model.manifest["image"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", [layout(name) for name in sorted(CASES) if CASES[name].family in CAPTIONERS])
def test_captioner_writes_the_same_tokens_as_pytorch(
    name: str, exported_case: Callable[[str], Exported], space_module: ImportModule
) -> None:
    exported = exported_case(name)
    path, reference = exported.path, exported.reference
    assert isinstance(reference, CaptionerReference)
    manifest = read_manifest(path)
    model = space_module("webmodel").find_model({"MODEL_DIR": str(path)})
    captioner = space_module("captions").Captioner(model)
    side = max(manifest.image.width, manifest.image.height) * 2
    picture = noise(side, side)
    pixels = torch.from_numpy(pixel_values(path, manifest, [picture]))
    written = 0
    for question in QUESTIONS:
        asked = captioner.prompt(question)
        assert asked == expected_prompt(path, captioner, question)
        expected = reference.generate(asked, pixels, TOKENS)
        *_, last = captioner.answer(pixels_of(model, picture), question, TOKENS)
        # PyTorch is made to go on behind the end mark; up to there both must be one.
        assert last.text == captioner.decode(expected[: last.tokens]).strip()
        written += last.tokens
    first = space_module("captions").Turn(question=QUESTIONS[0], answer="two cups")
    assert captioner.prompt(QUESTIONS[1], [first]) == expected_prompt(path, captioner, QUESTIONS[1], [first])
    assert written > TOKENS // 2, "both answers end at once, which proves nothing"


def expected_prompt(path: Path, captioner: Any, question: str, history: Sequence[Any] = ()) -> list[int]:
    """Token ids of a question, behind earlier turns, as Transformers renders the model's chat template."""
    settings = read_object(path / "tokenizer_config.json")
    mark = captioner.image_token
    idefics = str(read_object(path / "processor_config.json")["processor_class"]).startswith(("Idefics3", "SmolVLM"))

    def content(text: str, with_picture: bool) -> Any:
        if idefics:
            return [*([{"type": "image"}] if with_picture else []), {"type": "text", "text": text}]
        return f"{mark}\n{text}" if with_picture else text

    messages = []
    for turn in history:
        messages.append({"role": "user", "content": content(turn.question, not messages)})
        messages.append({"role": "assistant", "content": content(turn.answer, False)})
    messages.append({"role": "user", "content": content(question, not messages)})
    tokens = {
        key: value.get("content") if isinstance(value, dict) else value
        for key, value in settings.items()
        if key in ("bos_token", "eos_token", "unk_token", "pad_token") and value
    }
    rendered: Any = render_jinja_template(
        conversations=[messages],
        chat_template=settings["chat_template"],
        add_generation_prompt=True,
        **tokens,
    )
    room = mark * int(read_manifest(path).image.tokens or 0)
    around = "<fake_token_around_image>"
    room = f"{around}<global-img>{room}{around}" if idefics else room
    ids: list[int] = read_tokenizer(path).encode(rendered[0][0].replace(mark, room), add_special_tokens=False).ids
    return ids


@pytest.mark.slow
@pytest.mark.parametrize("name", [layout(name) for name in sorted(CASES) if CASES[name].family not in CAPTIONERS])
def test_dual_encoder_makes_the_same_vectors_as_the_evaluation(
    name: str, exported_case: Callable[[str], Exported], space_module: ImportModule
) -> None:
    path = exported_case(name).path
    manifest = read_manifest(path)
    model = space_module("webmodel").find_model({"MODEL_DIR": str(path)})
    searcher = space_module("vectors").Searcher(model)
    side = max(manifest.image.width, manifest.image.height) * 2
    pictures = [noise(side, side), noise(side, side, SEED + 1)]
    texts = ["a red cup", "how many cups are there on the sign and in the picture " * 4]
    plain = dict.fromkeys(manifest.components, "fp32")
    of_pictures, of_texts = embed(path, manifest, plain, pixel_values(path, manifest, pictures), texts)
    got_pictures = np.stack([searcher.picture(pixels_of(model, picture)) for picture in pictures])
    np.testing.assert_allclose(got_pictures, of_pictures, atol=1e-5)
    np.testing.assert_allclose(np.stack([searcher.text(text) for text in texts]), of_texts, atol=1e-5)


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(64, 64), (640, 480), (480, 640), (33, 200)])
def test_picture_is_fitted_as_the_evaluation_fits_it(
    fit: str, resample: str, size: tuple[int, int], space_module: ImportModule
) -> None:
    facts = ImageFacts(width=64, height=64, fit=fit, resample=resample)
    expected = fit_picture(noise(*size), facts)
    got = space_module("pictures").fit_picture(noise(*size), vars(facts))
    assert got.shape == (64, 64, 3)
    # The page cuts the longer edge's fraction off, the evaluation rounds it: up to a pixel of another scale.
    exact = fit != "crop" or (64 * max(size)) % min(size) == 0
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= (0 if exact else 40)


def read_back(space_module: ImportModule, picture: Image.Image, kind: str, **options: Any) -> np.ndarray:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return np.asarray(space_module("pictures").read_picture(file.getvalue()))


def test_picture_is_turned_upright(space_module: ImportModule) -> None:
    exif = Image.Exif()
    exif[274] = 6
    got = read_back(space_module, noise(40, 20), "PNG", exif=exif)
    np.testing.assert_array_equal(got, np.asarray(noise(40, 20).transpose(Image.Transpose.ROTATE_270)))


def test_transparent_parts_are_white(space_module: ImportModule) -> None:
    picture = Image.new("RGBA", (4, 2), (10, 20, 30, 0))
    picture.paste((10, 20, 30, 255), (0, 0, 2, 2))
    got = read_back(space_module, picture, "PNG")
    assert got[0, 0].tolist() == [10, 20, 30]
    assert got[0, 3].tolist() == [255, 255, 255]


def test_picture_in_another_colour_space_comes_out_in_srgb(space_module: ImportModule) -> None:
    grey = np.full((4, 4), 100, np.uint8)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read_back(space_module, Image.fromarray(grey).convert("RGB"), "PNG", icc_profile=lab)[0, 0].tolist() == [
        100,
        100,
        100,
    ]
    broken = read_back(space_module, Image.fromarray(grey).convert("RGB"), "PNG", icc_profile=b"no profile")
    assert broken[0, 0].tolist() == [100, 100, 100]


def change(path: Path, **values: Any) -> None:
    import json

    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**found, **values}), encoding="utf-8")


def test_repetition_penalty_of_the_model_is_kept(
    quantized_models: dict[str, Path], tmp_path: Path, space_module: ImportModule
) -> None:
    """transformers.js applies generation_config.json's in the browser; "no" three times over is what it prevents."""
    import shutil

    path = Path(shutil.copytree(quantized_models["scenes-vlm"], tmp_path / "model"))
    texts = []
    for penalty in (1.0, 1.0000001, 1e6):
        change(path / "generation_config.json", repetition_penalty=penalty)
        change_size(path, "generation_config.json")
        model = space_module("webmodel").find_model({"MODEL_DIR": str(path)})
        *_, last = (
            space_module("captions")
            .Captioner(model)
            .answer(pixels_of(model, noise(128, 128)), "Describe the picture.", 8)
        )
        texts.append((last.text, last.tokens))
    assert texts[0] == texts[1]
    words = texts[2][0].split()
    assert texts[2] != texts[0]
    assert len(words) == len(set(words))


def change_size(path: Path, name: str) -> None:
    """Let the manifest know how large a file has become."""
    import json

    manifest = path / "manifest.json"
    raw = json.loads(manifest.read_text(encoding="utf-8"))
    for entry in raw["files"]:
        if entry["path"] == name:
            entry["size_bytes"] = (path / name).stat().st_size
    manifest.write_text(json.dumps(raw), encoding="utf-8")


def test_dtypes_are_those_of_the_tier_for_processors(
    quantized_models: dict[str, Path], space_module: ImportModule
) -> None:
    for path in quantized_models.values():
        manifest = read_manifest(path)
        model = space_module("webmodel").find_model({"MODEL_DIR": str(path)})
        assert model.dtypes == {name: manifest.tiers["wasm"][name] for name in model.dtypes}

"""Pixels of the page and of Python: the same photo through both, family by family, compared as the model gets them.

The page's side is picture.js and the real transformers.js in a real Chromium, Python's the Pillow backend of the
family's image processor. Differences are counted in levels, of which a channel has 256, before normalisation.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageOps
from playwright.sync_api import Page, Playwright
from sklearn.datasets import load_sample_image
from transformers import AutoImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from builder.families import all_families, find_family
from builder.families._apple import is_apple, letterbox
from builder.families._pictures import image_facts
from builder.manifest import ImageFacts
from builder.preview import running_server
from tests import checkpoints
from tests.checkpoints import fastvlm
from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EXACT_LEVELS = 0.001
"""Lossless pictures: every byte is the same. What is left is how float32 rounds while it normalises."""
JPEG_LEVELS, JPEG_MEAN_LEVELS = 4, 0.25
"""Nothing more where the browser decodes as Pillow does (Chromium 150 and Pillow 12: both by libjpeg-turbo). Other
decoders may round colours by a level or two before the resize, which a filter with negative weights adds up."""
TWO_STEPS_LEVELS, TWO_STEPS_MEAN_LEVELS = 32, 0.6
"""The page makes SmolVLM's tile in one step, where Transformers first enlarges the picture to 2048 pixels: another
ringing along edges. Found on five photos: at most 24, on average at most 0.45."""

WITH_TOKENIZER = "processor_class"
"""Without it AutoProcessor makes the same pixels, and asks for no tokenizer."""
HALF = [0.5, 0.5, 0.5]
PLAIN = {"image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}
Processor = Callable[..., Any]


def square(size: int) -> dict[str, dict[str, int]]:
    return {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}}


def edges(size: int) -> dict[str, int]:
    return {"height": size, "width": size}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One family's processor; ``padded``: pictures are padded to a square first, as FastVLM's own code does.

    transformers.js centres such padding only with Donut's class, so that a web model's config names that one.
    """

    processor: Any
    padded: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """preprocessor_config.json of the web model."""
        config: dict[str, Any] = json.loads(self.processor.to_json_string())
        return letterbox(config["size"]["shortest_edge"]) if self.padded else config

    @property
    def facts(self) -> ImageFacts:
        return image_facts(self.config)

    def pixels(self, photo: Image.Image) -> np.ndarray:
        """Python's pixel_values [3, height, width], of the first tile."""
        photo = photo.convert("RGB")
        if self.padded:
            photo = expand_to_square(photo)
        extra = {"do_image_splitting": False} if "do_image_splitting" in self.config else {}
        values = self.processor(photo, return_tensors="np", **extra)["pixel_values"]
        return self.levels(np.asarray(values).reshape(-1, *np.shape(values)[-3:])[0])

    def levels(self, values: np.ndarray) -> np.ndarray:
        """Undo the normalisation: 0 to 255."""
        mean, std = (np.reshape(self.config[key], (3, 1, 1)) for key in ("image_mean", "image_std"))
        return (values.astype(np.float64) * std + mean) * 255


def expand_to_square(photo: Image.Image) -> Image.Image:
    """Pad with black, as `expand2square` in ml-fastvlm (llava/mm_utils.py)."""
    side = max(photo.size)
    result = Image.new("RGB", (side, side))
    result.paste(photo, ((side - photo.width) // 2, (side - photo.height) // 2))
    return result


CASES = {
    "fastvlm": Case(processor=CLIPImageProcessorPil(**square(1024), **PLAIN), padded=True),
    "fastvlm-transformers": Case(processor=CLIPImageProcessorPil(**square(1024), **PLAIN)),
    "mobileclip2-s0": Case(processor=CLIPImageProcessorPil(**square(256), **PLAIN, resample=2)),
    "mobileclip2-s4": Case(processor=CLIPImageProcessorPil(**square(256), resample=2)),
    "mobileclip2-l14": Case(processor=CLIPImageProcessorPil(**square(224))),
    "smolvlm": Case(processor=SmolVLMImageProcessorPil(size=edges(512), max_image_size={"longest_edge": 512})),
    "idefics3": Case(processor=Idefics3ImageProcessorPil(size=edges(364))),
    "clip": Case(processor=CLIPImageProcessorPil()),
    "siglip": Case(processor=SiglipImageProcessorPil()),
    "siglip2-256": Case(processor=SiglipImageProcessorPil(size=edges(256), resample=2)),
    "siglip2-384": Case(processor=SiglipImageProcessorPil(size=edges(384), resample=2)),
    "llava-1.5": Case(processor=CLIPImageProcessorPil(**square(336))),
    "llava-onevision": Case(processor=LlavaOnevisionImageProcessorPil(image_mean=HALF, image_std=HALF)),
}
SPLITTING = Case(processor=SmolVLMImageProcessorPil(size={"longest_edge": 2048}, max_image_size={"longest_edge": 512}))
"""SmolVLM's config as its checkpoints carry it."""


def photos() -> dict[str, Image.Image]:
    """Sizes are such that what is padded or cut off is an odd number of pixels somewhere."""
    china = load_sample_image("china.jpg")
    return {
        "portrait": Image.fromarray(skimage.data.astronaut()).crop((50, 0, 440, 511)),
        "landscape": Image.fromarray(skimage.data.coffee()).crop((0, 0, 598, 389)),
        "large": Image.fromarray(np.tile(china, (4, 4, 1))[1:, 3:]),  # more than picture.js reads at once
        "flower": Image.fromarray(load_sample_image("flower.jpg")),
        "column": Image.fromarray(skimage.data.chelsea()).crop((200, 0, 201, 299)),
        "ribbon": Image.fromarray(skimage.data.chelsea()).crop((0, 100, 451, 103)),
        "tiny": Image.fromarray(skimage.data.chelsea()).crop((150, 100, 157, 105)),
        "grey": Image.fromarray(skimage.data.camera()).crop((0, 0, 511, 300)),
        "opaque": Image.fromarray(skimage.data.coffee()).convert("RGBA"),
    }


PHOTOS = photos()


@dataclass(frozen=True, kw_only=True)
class Preprocessor:
    """The browser's side: `run` hands a picture file to preprocess.js."""

    page: Page
    site: Path

    def run(self, case: Case, picture: bytes, *, canvas: bool = False) -> np.ndarray:
        return case.levels(self.values(case.config, case.facts, picture, canvas=canvas))

    def values(self, config: Mapping[str, Any], facts: ImageFacts, picture: bytes, *, canvas: bool = False) -> Any:
        """pixel_values [3, height, width] of a web model's config and of its manifest's facts."""
        folder = self.site / "models" / "case"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "preprocessor_config.json").write_text(json.dumps(config), encoding="utf-8")
        (self.site / "picture").write_bytes(picture)
        arguments = {"model": "case", "picture": "/picture", "facts": asdict(facts), "canvas": canvas}
        result = self.page.evaluate("(job) => preprocess(job)", arguments)
        values = np.frombuffer(base64.b64decode(result["data"]), np.float32).reshape(result["dims"])
        assert values.size == 3 * facts.width * facts.height, result["dims"]
        return values.reshape(3, facts.height, facts.width)


@pytest.fixture(scope="module")
def browser(tools: Playwright, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preprocessor]:
    site = tmp_path_factory.mktemp("preprocess")
    template = REPOSITORY / "web_template"
    for folder in ("shared", "runtime"):
        shutil.copytree(template / folder, site / folder)
    shutil.copy(Path(__file__).with_name("preprocess.js"), site)
    (site / "index.html").write_text('<!doctype html><script type="module" src="preprocess.js"></script>', "utf-8")
    with running_server(site) as address:
        started = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = started.new_page()
        page.goto(address)
        yield Preprocessor(page=page, site=site)
        started.close()


def png(photo: Image.Image) -> bytes:
    file = io.BytesIO()
    photo.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("photo", ["portrait", "landscape"])
@pytest.mark.parametrize("name", CASES)
def test_photo_becomes_the_same_pixels_in_the_browser_and_in_python(
    name: str, photo: str, browser: Preprocessor
) -> None:
    case, file = CASES[name], png(PHOTOS[photo])
    expected = case.pixels(PHOTOS[photo])
    assert np.abs(browser.run(case, file) - expected).max() <= EXACT_LEVELS
    assert np.abs(browser.run(case, file, canvas=True) - expected).max() > 2, "a canvas would have done as well"


@pytest.mark.parametrize("name", ["fastvlm", "clip", "siglip"])
@pytest.mark.parametrize("photo", ["large", "column", "ribbon", "tiny", "grey", "opaque"])
def test_picture_of_unusual_kind_becomes_the_same_pixels_too(name: str, photo: str, browser: Preprocessor) -> None:
    case = CASES[name]
    found = browser.run(case, png(PHOTOS[photo]))
    assert np.abs(found - case.pixels(PHOTOS[photo])).max() <= EXACT_LEVELS


@pytest.mark.parametrize("name", ["fastvlm", "clip", "siglip", "smolvlm"])
def test_jpeg_photo_becomes_nearly_the_same_pixels(name: str, browser: Preprocessor) -> None:
    file = io.BytesIO()
    PHOTOS["flower"].save(file, "JPEG", quality=85)
    case = CASES[name]
    apart = np.abs(browser.run(case, file.getvalue()) - case.pixels(Image.open(file)))
    assert apart.max() <= JPEG_LEVELS
    assert apart.mean() <= JPEG_MEAN_LEVELS


def test_photo_of_a_turned_camera_is_put_upright_as_exif_transpose_does(browser: Preprocessor) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    file = io.BytesIO()
    PHOTOS["landscape"].save(file, "JPEG", quality=95, exif=exif)
    case = CASES["fastvlm"]
    lying = Image.open(file)
    found = browser.run(case, file.getvalue())
    assert np.abs(found - case.pixels(ImageOps.exif_transpose(lying))).max() <= JPEG_LEVELS
    assert np.abs(found - case.pixels(lying)).max() > 100


def test_transparent_parts_of_a_picture_are_white(browser: Preprocessor) -> None:
    see_through = PHOTOS["opaque"].copy()
    see_through.paste((255, 0, 0, 0), (100, 100, 300, 250))
    white = Image.new("RGBA", see_through.size, "white")
    case = CASES["clip"]
    found = browser.run(case, png(see_through))
    assert np.abs(found - case.pixels(Image.alpha_composite(white, see_through))).max() <= EXACT_LEVELS


def test_single_tile_of_a_config_that_splits_is_close_to_the_detour_that_python_takes(browser: Preprocessor) -> None:
    assert SPLITTING.facts == CASES["smolvlm"].facts
    apart = np.abs(browser.run(SPLITTING, png(PHOTOS["landscape"])) - SPLITTING.pixels(PHOTOS["landscape"]))
    assert apart.mean() <= TWO_STEPS_MEAN_LEVELS
    assert apart.max() <= TWO_STEPS_LEVELS


def own_pixels(checkpoint: Path, photo: Image.Image) -> np.ndarray:
    """pixel_values [3, height, width] as the checkpoint's own library makes them, of one tile."""
    described = checkpoint / "open_clip_config.json"
    if described.is_file():
        settings = json.loads(described.read_text(encoding="utf-8"))
        size = settings["model_cfg"]["vision_cfg"]["image_size"]
        transform: Any = image_transform_v2(
            PreprocessCfg(**{"size": size, **settings["preprocess_cfg"]}), is_train=False
        )
        return np.asarray(transform(photo))
    processor: Any
    if is_apple(checkpoint):  # Apple's own code makes this one, of the tower's name
        processor, photo = CLIPImageProcessorPil(**square(fastvlm.SIZE), **PLAIN), expand_to_square(photo)
    else:
        processor = AutoImageProcessor.from_pretrained(checkpoint, backend="pil")
    tiled = hasattr(processor, "do_image_splitting")
    extra = {"do_image_splitting": False, "size": edges(processor.max_image_size["longest_edge"])} if tiled else {}
    values = processor(photo, return_tensors="np", **extra)["pixel_values"]
    return np.asarray(values).reshape(-1, *np.shape(values)[-3:])[0]


@pytest.mark.parametrize("name", checkpoints.CASES)
def test_exported_config_makes_the_pixels_of_the_checkpoints_own_processor(
    name: str, browser: Preprocessor, tmp_path: Path
) -> None:
    checkpoints.CASES[name].make(tmp_path)
    parts = find_family(tmp_path).load(tmp_path)
    photo = PHOTOS["landscape"]
    config = {key: value for key, value in parts.configs["preprocessor_config.json"].items() if key != WITH_TOKENIZER}
    found = browser.values(config, parts.image, png(photo))
    np.testing.assert_allclose(found, own_pixels(tmp_path, photo), atol=1e-5)


def test_every_familys_export_is_among_these() -> None:
    assert {case.family for case in checkpoints.CASES.values()} == set(all_families())

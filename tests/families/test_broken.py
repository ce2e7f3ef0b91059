"""Checkpoints whose JSON files are wrong: one line that names the file or the number, never a library's traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache, reduce
from pathlib import Path
from typing import Any

import pytest
import transformers
from safetensors.torch import load_file, save_file

from builder.errors import CheckpointError
from builder.export.room import count_parameters
from builder.families import find_family
from builder.families._preprocessor import read_image_processor
from builder.hub import check_weights
from tests.checkpoints import CASES
from tests.checkpoints._case import write_json
from tests.families._edit import load

CONFIG, OPEN_CLIP = "config.json", "open_clip_config.json"
PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
GPTQ = {"quant_method": "gptq", "bits": 4}


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A fresh copy of a case's checkpoint, made once per case."""

    @cache
    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        CASES[name].make(folder)
        return folder

    def copy(name: str) -> Path:
        return Path(shutil.copytree(made(name), tmp_path_factory.mktemp(name) / "checkpoint"))

    return copy


def put(path: Path, keys: str, value: object) -> None:
    """Set what lies at ``keys`` (``"a.b"``) of a JSON file."""
    raw = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    *outer, last = keys.split(".")
    inner: dict[str, Any] = reduce(lambda found, key: found[key], outer, raw)
    inner[last] = value
    write_json(path, raw)


def refusal(folder: Path) -> CheckpointError:
    """The error of a folder that is refused, in one line and with a hint."""
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


LLAVA, FASTVLM, APPLE, SMOLVLM = (
    "llava-v4-clip-llama-shards",
    "fastvlm-transformers",
    "fastvlm-apple-tied",
    "smolvlm-v4",
)


@pytest.mark.parametrize(
    ("case", "file", "keys", "value", "words"),
    [
        (LLAVA, CONFIG, "text_config", None, ("numbers", "a model of 6,")),
        (LLAVA, CONFIG, "text_config", "llama", ("'llama'", '"text_config"', "no JSON object")),
        (LLAVA, CONFIG, "text_config.hidden_size", 65, ("hidden size (65)", "attention heads")),
        (LLAVA, CONFIG, "text_config.intermediate_size", 80, ("has shape (", "the config asks for (")),
        (LLAVA, CONFIG, "vision_config.image_size", "56", ("image_size", "'56'")),
        (LLAVA, CONFIG, "vision_config.patch_size", 0, ("ZeroDivisionError",)),
        (LLAVA, CONFIG, "vision_feature_select_strategy", "odd", ("vision_feature_select_strategy", "odd")),
        (LLAVA, CONFIG, "quantization_config", GPTQ, ("quantized already (gptq)",)),
        (LLAVA, PREPROCESSOR, "size", None, ("names no fixed input size",)),
        (LLAVA, PREPROCESSOR, "crop_size", "56", ("'56'", '"crop_size"')),
        (LLAVA, PREPROCESSOR, "image_mean", "half", ("'half'", '"image_mean"')),
        (FASTVLM, CONFIG, "vision_config.architecture", "fastvit_mci9", ("ImportError", "fastvit_mci9")),
        (FASTVLM, PROCESSOR, "image_processor", "x", ("'x'", '"image_processor"')),
        (FASTVLM, PROCESSOR, "image_processor", None, ("names no input size",)),
        (FASTVLM, PROCESSOR, "image_processor.size", None, ("names no input size",)),
        (APPLE, CONFIG, "vocab_size", "512", ("vocab_size", "'512'")),
        (APPLE, CONFIG, "image_aspect_ratio", "anyres", ("'anyres'", '"image_aspect_ratio"', "'pad'")),
        (APPLE, CONFIG, "mm_use_im_start_end", True, ("True", '"mm_use_im_start_end"')),
        (APPLE, CONFIG, "mm_projector_type", "mlp2x_relu", ("'mlp2x_relu'", '"mm_projector_type"')),
        (APPLE, CONFIG, "mm_patch_merge_type", "spatial", ("'spatial'", '"mm_patch_merge_type"')),
        (APPLE, CONFIG, "mm_vision_select_feature", "cls_patch", ("'cls_patch'",)),
        (APPLE, "demo.json", "prompts", [{"id": 1, "label": None, "text": 5}], ("demo.json", "1 is no str")),
        (APPLE, "demo.json", "prompts", {"id": "a"}, ("demo.json",)),
        (APPLE, "demo.json", "generation", {"max_new_tokens": "40"}, ("demo.json", "'40' is no int")),
        (APPLE, CONFIG, "num_hidden_layers", 400, ("numbers", "its config asks for a model of")),
        (APPLE, CONFIG, "quantization_config", {"quant_method": "bitsandbytes"}, ("quantized already (bitsandbytes)",)),
        (SMOLVLM, CONFIG, "scale_factor", 0, ("ZeroDivisionError",)),
        (SMOLVLM, PREPROCESSOR, "max_image_size", 48, ("48", '"max_image_size"')),
        ("clip-v4", CONFIG, "vision_config.image_size", 80, ("position_embedding.weight has shape", "asks for")),
        ("clip-v4", PREPROCESSOR, "size", [224], ("[224]", '"size"')),
        ("siglip", CONFIG, "vision_config", "tower", ("'tower'", '"vision_config"')),
        ("clip-open-clip", OPEN_CLIP, "model_cfg", None, ('no "embed_dim"',)),
        ("clip-open-clip", OPEN_CLIP, "model_cfg", [1], ("[1]", '"model_cfg"')),
        ("clip-open-clip", OPEN_CLIP, "model_cfg.text_cfg", None, ('no "text_cfg"',)),
        ("clip-open-clip", OPEN_CLIP, "model_cfg.vision_cfg", 3, ('3 for "vision_cfg"',)),
        ("clip-open-clip", OPEN_CLIP, "model_cfg.vision_cfg.patch_size", 0, ("ZeroDivisionError",)),
        ("clip-open-clip", OPEN_CLIP, "model_cfg.vision_cfg.image_size", "wide", ("wide",)),
        ("clip-open-clip", OPEN_CLIP, "model_cfg.vision_cfg.width", 64000, ("numbers", "asks for a model of")),
        ("clip-open-clip", OPEN_CLIP, "model_cfg.text_cfg.layers", "two", ("'two'", '"layers"')),
        ("clip-open-clip", OPEN_CLIP, "preprocess_cfg", "x", ("'x'", '"preprocess_cfg"')),
        ("clip-open-clip", OPEN_CLIP, "preprocess_cfg.interpolation", "cubist", ("'cubist'",)),
        ("clip-open-clip", OPEN_CLIP, "preprocess_cfg.mean", [0.5, 0.5], ("[0.5, 0.5]", '"mean"')),
    ],
)
def test_wrong_value_in_a_json_file_is_named(
    case: str, file: str, keys: str, value: object, words: tuple[str, ...], broken: Callable[[str], Path]
) -> None:
    folder = broken(case)
    put(folder / file, keys, value)
    message = refusal(folder).message
    assert [word for word in words if word not in message] == [], message


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("llava-onevision", "language_model.model.norm.weight"),
        (APPLE, "model.norm.weight"),
        ("clip-open-clip", "ln_final.weight"),
    ],
)
def test_weights_that_are_not_finite_are_named(
    case: str, name: str, number: float, broken: Callable[[str], Path]
) -> None:
    folder = broken(case)
    (path,) = folder.glob("*.safetensors")
    weights = load_file(path)
    weights[name][3] = number
    save_file(weights, path, metadata={"format": "pt"})
    message = refusal(folder).message
    assert name.split(".", 1)[-1].removeprefix("model.") in message
    assert "NaN or infinite" in message


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [("dtype", "Q32", "'Q32'"), ("shape", [65], "[65]"), ("shape", "64", "'64'"), ("data_offsets", [0, "8"], "header")],
)
def test_header_that_contradicts_itself_is_damage(
    key: str, value: object, word: str, broken: Callable[[str], Path]
) -> None:
    folder = broken("llava-onevision")
    (path,) = folder.glob("*.safetensors")
    check_weights(folder)
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["language_model.model.norm.weight"][key] = value
    written = json.dumps(header).encode()
    path.write_bytes(len(written).to_bytes(8, "little") + written + raw[8 + length :])
    with pytest.raises(CheckpointError, match="is damaged") as caught:
        check_weights(folder)
    assert word in caught.value.message
    assert str(path) in caught.value.hint
    with pytest.raises(CheckpointError, match="is damaged"):
        count_parameters(folder)


@pytest.mark.parametrize(("case", "family"), [(LLAVA, "fastvlm"), ("clip-open-clip", "siglip"), (APPLE, "mobileclip2")])
def test_family_of_another_kind_is_refused_by_name(case: str, family: str, broken: Callable[[str], Path]) -> None:
    with pytest.raises(CheckpointError, match=f"not of the family {family}") as caught:
        find_family(broken(case), family)
    assert "leave --family out" in caught.value.hint


@pytest.mark.parametrize("case", sorted(CASES))
def test_family_of_the_right_kind_is_taken_at_its_name(case: str, broken: Callable[[str], Path]) -> None:
    assert find_family(broken(case), CASES[case].family).name == CASES[case].family


def test_model_type_that_goes_on_where_a_family_does_suggests_that_one(tmp_path: Path) -> None:
    write_json(tmp_path / CONFIG, {"model_type": "llava_next"})
    with pytest.raises(CheckpointError) as caught:
        find_family(tmp_path)
    assert caught.value.hint.startswith("did you mean 'llava'?")


@pytest.mark.parametrize("kind", ["CLIPImageProcessor", "LlavaOnevisionImageProcessor", "ViTImageProcessor"])
def test_plain_number_as_size_is_read_as_transformers_reads_it(kind: str, tmp_path: Path) -> None:
    write_json(tmp_path / PREPROCESSOR, {"image_processor_type": kind, "size": 128, "crop_size": 128})
    theirs = getattr(transformers, kind)(size=128, crop_size=128)
    ours = read_image_processor(tmp_path)
    for key in ("size", "crop_size"):
        wanted = {edge: length for edge, length in dict(getattr(theirs, key)).items() if length is not None}
        assert ours[key] == wanted, key


def test_plain_number_as_size_gives_the_same_web_model(broken: Callable[[str], Path]) -> None:
    folder = broken(FASTVLM)
    wanted = load(folder)
    edge = read_image_processor(folder)["size"]["shortest_edge"]
    put(folder / PROCESSOR, "image_processor.size", edge)
    found = load(folder)
    assert found.image == wanted.image
    assert found.configs == wanted.configs


def test_random_interpolation_of_open_clip_is_bicubic(broken: Callable[[str], Path]) -> None:
    folder = broken("clip-open-clip")
    put(folder / OPEN_CLIP, "preprocess_cfg.interpolation", "random")
    assert load(folder).image.resample == "bicubic"


@pytest.mark.parametrize("value", [None, "square"])
def test_apples_pictures_are_cut_where_its_config_does_not_pad_them(
    value: str | None, broken: Callable[[str], Path]
) -> None:
    folder = broken(APPLE)
    assert load(folder).image.fit == "letterbox"
    put(folder / CONFIG, "image_aspect_ratio", value)
    parts = load(folder)
    assert parts.image.fit == "crop"
    assert parts.configs[PREPROCESSOR]["image_processor_type"] == "CLIPImageProcessor"


@pytest.mark.parametrize("case", [FASTVLM, APPLE])
def test_weights_in_a_second_dtype_are_not_read(case: str, broken: Callable[[str], Path]) -> None:
    folder = broken(case)
    numbers = count_parameters(folder)
    other = {name: tensor * 0 for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(other, folder / "model.fp16.safetensors", metadata={"format": "pt"})
    assert count_parameters(folder) == numbers
    check_weights(folder)
    language = load(folder).language
    assert language is not None
    assert bool(language.weights["model.norm.weight"].abs().sum() > 0)


def test_tensor_that_two_files_hold_is_refused(broken: Callable[[str], Path]) -> None:
    folder = broken(APPLE)
    whole = (folder / "model.safetensors").rename(folder / "first.safetensors")
    shutil.copy(whole, folder / "second.safetensors")
    assert "twice" in refusal(folder).message


def test_adapter_beside_weights_is_refused_with_what_to_do(broken: Callable[[str], Path]) -> None:
    folder = broken(FASTVLM)
    write_json(folder / "adapter_config.json", {"peft_type": "LORA", "base_model_name_or_path": "apple/FastVLM-0.5B"})
    found = refusal(folder)
    assert "apple/FastVLM-0.5B" in found.message
    assert "merge_and_unload()" in found.hint


def test_files_of_sentence_transformers_beside_a_clip_do_not_hide_it(broken: Callable[[str], Path]) -> None:
    folder = broken("clip-v4")
    write_json(folder / "config_sentence_transformers.json", {})
    assert find_family(folder).name == "clip"


def test_json_that_may_not_be_read_is_refused(broken: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = broken(FASTVLM)
    (folder / "demo.json").mkdir()
    assert load(folder).prompts, "a folder of that name is no file"
    (folder / "demo.json").rmdir()
    write_json(folder / "demo.json", {})
    # root may read everything: the refusal of the system is made, not waited for
    read = Path.read_text

    def refuse(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "demo.json":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert "demo.json cannot be read: permission denied" in refusal(folder).message

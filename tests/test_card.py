"""The card of a web model: its numbers are the manifest's, its terms the checkpoint's, and its JavaScript runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from builder.card import TIER_NAMES, render_card, write_card
from builder.embedded import checkpoint_dir, model_dir
from builder.licence import Licence, is_research_only, read_base_model, read_licence
from builder.manifest import ErrorMeasure, FileEntry, Manifest, Origin, Prompt, file_entry, read_manifest

WEB_TEMPLATE = Path(__file__).parents[1] / "web_template"
NAMES = ("scenes-vlm", "scenes-clip")
APPLE_TEXT = "Disclaimer: IMPORTANT: This Apple Machine Learning Research Model is specifically developed"
MakeModel = Callable[..., Path]


def front_matter(card: str) -> dict[str, object]:
    assert card.startswith("---\n")
    values = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(values, dict)
    return values


def table(card: str, heading: str) -> list[list[str]]:
    """Rows of the table below a heading, without its head."""
    section = card.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows[2:]]


def snippets(card: str) -> list[str]:
    return re.findall(r"```js\n(.*?)```", card, re.DOTALL)


def measured(name: str = "scenes-vlm") -> Manifest:
    """An embedded model's manifest with a second dtype, external data, and errors of which one is not measured."""
    manifest = read_manifest(model_dir(name))
    components = {}
    for number, (component, variants) in enumerate(manifest.components.items()):
        fp32 = variants["fp32"]
        small = replace(
            fp32,
            path=fp32.path.replace(".onnx", "_q4.onnx"),
            size_bytes=fp32.size_bytes // 5,
            data=(FileEntry(path="x.onnx_data", size_bytes=12_345_678, sha256="0"),),
            error=ErrorMeasure(max_abs=0.0123 + number, relative=0.00456, cosine=0.998765) if number else None,
        )
        components[component] = {"fp32": fp32, "q4": small}
    tiers = {tier: dict.fromkeys(components, dtype) for tier, dtype in (("webgpu", "q4"), ("wasm", "fp32"))}
    return replace(manifest, components=components, tiers=tiers, versions={"onnx": "1.21.0"})


def card_of(manifest: Manifest, repo: str | None = "somebody/web") -> str:
    return render_card(manifest, base_model="somebody/base", license="mit", repo=repo)


@pytest.mark.parametrize("name", NAMES)
def test_front_matter_says_what_the_hub_asks_for(name: str) -> None:
    manifest = read_manifest(model_dir(name))
    assert front_matter(card_of(manifest)) == {
        "library_name": "transformers.js",
        "base_model": "somebody/base",
        "pipeline_tag": manifest.task,
        "license": "mit",
        "tags": ["onnx", "webgpu", "webgpu-demo-builder"],
    }


def test_front_matter_of_another_licence_has_name_and_link() -> None:
    card = render_card(
        measured(), base_model=None, license="other", license_name="gemma: terms", license_link="LICENSE"
    )
    values = front_matter(card)
    assert (values["license"], values["license_name"], values["license_link"]) == ("other", "gemma: terms", "LICENSE")
    assert "base_model" not in values
    assert "[gemma: terms](LICENSE)" in card


def test_front_matter_of_an_unknown_licence_claims_none() -> None:
    card = render_card(measured(), base_model=None, license=None, license_name="x", license_link="y")
    assert not [key for key in front_matter(card) if key.startswith("license")]
    assert "Unknown" in card.split("## Licence")[1].split("##")[0]


def test_every_size_and_error_of_the_table_is_the_manifests() -> None:
    manifest = measured()
    rows = table(card_of(manifest), "Sizes and errors")
    expected = [(component, dtype) for component, variants in manifest.components.items() for dtype in variants]
    assert [(row[0], row[1]) for row in rows] == expected
    for component, dtype, size, *errors in rows:
        variant = manifest.components[component][dtype]
        assert float(size) == pytest.approx(variant.total_bytes / 1e6, abs=0.005)
        if variant.error is None:
            assert errors == ["—", "—", "—"]
        else:
            found = [float(error) for error in errors]
            wanted = [variant.error.max_abs, variant.error.relative, variant.error.cosine]
            assert found == pytest.approx(wanted, rel=5e-3, abs=1e-9)


def test_every_tier_is_listed_with_its_dtypes_and_download() -> None:
    manifest = measured()
    rows = table(card_of(manifest), "What a device downloads")
    assert [row[0].replace("`", "") for row in rows] == [TIER_NAMES[tier].replace("`", "") for tier in manifest.tiers]
    for (_, dtypes, size), tier in zip(rows, manifest.tiers, strict=True):
        assert dict(re.findall(r"(\w+): '(\w+)'", dtypes)) == dict(manifest.tiers[tier])
        assert float(size) == pytest.approx(manifest.tier_bytes(tier) / 1e6, abs=0.005)


def test_card_says_how_the_model_was_made() -> None:
    made = card_of(measured()).split("## How it was made")[1]
    assert "webgpu-demo export somebody/base -o scenes-vlm" in made
    assert "webgpu-demo quantize scenes-vlm --dtype q4" in made
    assert "onnx 1.21.0" in made


@pytest.mark.parametrize(
    ("licence", "name", "link", "expected"),
    [
        ("apple-amlr", None, None, True),
        ("other", "apple-ml-research", "LICENSE", True),
        ("cc-by-nc-4.0", None, None, True),
        ("apache-2.0", None, None, False),
        ("other", "gemma", "https://ai.example/terms", False),
        (None, None, None, False),
    ],
)
def test_research_only_licence_is_visible_above_the_first_section(
    licence: str | None, name: str | None, link: str | None, expected: bool
) -> None:
    card = render_card(measured(), base_model=None, license=licence, license_name=name, license_link=link)
    assert ("**Research only.**" in card.split("## ")[0]) == expected
    assert is_research_only(licence, name, link) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"README.md": "---\nlicense: apple-amlr\nlicense_name: apple-ascl\n---\n"}, Licence(id="apple-amlr")),
        (
            {"README.md": "---\nlicense: other\nlicense_name: x\nlicense_link: https://a.example\n---\ntext"},
            Licence(id="other", name="x", link="https://a.example"),
        ),
        (
            {"README.md": "---\nlicense: other\n---\n", "LICENSE.txt": "?"},
            Licence(id="other", link="LICENSE.txt", file="LICENSE.txt"),
        ),
        ({"README.md": "no front matter", "LICENSE": APPLE_TEXT}, Licence(id="apple-amlr", file="LICENSE")),
        ({"LICENSE": "   Apache License\n   Version 2.0, January 2004"}, Licence(id="apache-2.0", file="LICENSE")),
        ({"LICENSE": "All rights reserved."}, Licence(id="other", link="LICENSE", file="LICENSE")),
        ({"README.md": "---\nlicense: [broken\n---\n"}, Licence()),
        ({}, Licence()),
    ],
)
def test_licence_is_what_the_checkpoint_states(files: dict[str, str], expected: Licence, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_licence(tmp_path) == expected


def test_licence_of_apples_checkpoints_in_the_cache_is_known_without_a_card(tmp_path: Path) -> None:
    folder = tmp_path / "models--apple--FastVLM-0.5B" / "snapshots" / "0"
    folder.mkdir(parents=True)
    assert read_base_model(folder) == "apple/FastVLM-0.5B"
    assert read_licence(folder) == Licence(id="apple-amlr")


@pytest.mark.parametrize("stated", ["base_model: a/b", "base_model: [a/b, c/d]"])
def test_base_model_of_a_folder_is_the_one_of_its_card(stated: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{stated}\n---\n", encoding="utf-8")
    assert read_base_model(tmp_path) == "a/b"


@pytest.mark.parametrize("stated", ["a](https://evil.example) [b", "x; rm -rf ~", "$(id)", "a/b/c", "../a", "a b"])
def test_base_model_that_is_no_hub_id_counts_as_none(stated: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{yaml.safe_dump({'base_model': stated})}---\n", encoding="utf-8")
    assert read_base_model(tmp_path) is None
    card = render_card(measured(), base_model=stated, license="mit")
    assert f"[{stated}]" not in card
    assert f"export {stated}" not in card


def test_what_a_card_is_told_stays_text_in_it() -> None:
    name, link = "terms](https://evil.example) <b>", "javascript:alert(1)"
    manifest = replace(measured(), name="my model; id")
    card = render_card(manifest, base_model=None, license="other", license_name=name, license_link=link)
    terms = card.split("## Licence\n\n")[1].split("\n\n## ")[0]
    assert terms.startswith(r"terms\](https://evil.example) \<b\>: ")
    assert "webgpu-demo export CHECKPOINT -o 'my model; id'\n" in card


def test_licence_of_the_embedded_checkpoints_is_theirs() -> None:
    assert {read_licence(checkpoint_dir(name)).id for name in NAMES} == {"apache-2.0"}


def test_written_card_states_the_origin_and_is_listed(make_model: MakeModel) -> None:
    folder = make_model()
    manifest = replace(read_manifest(folder), origin=Origin(base_model="owner/name", license="mit"))
    listed = write_card(folder, manifest)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card == render_card(manifest, base_model="owner/name", license="mit")
    assert [entry for entry in listed.files if entry.path == "README.md"] == [file_entry(folder, "README.md")]
    assert write_card(folder, listed).files == listed.files


def check_in_node(node: str, source: str, scratch: Path) -> None:
    """Parse a module, and make sure that transformers.js exports all that it imports."""
    names = re.search(r"import \{ (.*?) \} from '@huggingface/transformers'", source)
    assert names is not None
    link = scratch / "node_modules"
    if not link.exists():
        link.symlink_to(WEB_TEMPLATE / "node_modules")
    (scratch / "snippet.mjs").write_text(source, encoding="utf-8")
    (scratch / "names.mjs").write_text(f"import {{ {names[1]} }} from '@huggingface/transformers';", encoding="utf-8")
    for command in (["--check", "snippet.mjs"], ["names.mjs"]):
        done = subprocess.run([node, *command], cwd=scratch, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "model_type"), [("scenes-vlm", "idefics3"), ("scenes-vlm", "llava"), ("scenes-clip", "siglip")]
)
def test_snippet_with_quotes_and_other_classes_is_valid_javascript(
    name: str, model_type: str, node: str, tmp_path: Path
) -> None:
    awkward = Prompt(id="x", label="x", text="What's \"this\"?\\ Don't `guess`:\n${why}")
    manifest = replace(measured(name), model_type=model_type, prompts=(awkward,))
    for source in snippets(card_of(manifest)):
        check_in_node(node, source, tmp_path)


def run_snippets(node: str, folder: Path, card: str, repo: str, photo: Image.Image, scratch: Path) -> list[str]:
    """Run every snippet as pasted, but for where its models lie; what each of them printed."""
    (scratch / "models" / repo).parent.mkdir(parents=True)
    shutil.copytree(folder, scratch / "models" / repo)
    (scratch / "node_modules").symlink_to(WEB_TEMPLATE / "node_modules")
    photo.save(scratch / "photo.jpg", quality=95, subsampling=0)
    place = json.dumps(str(scratch / "models"))
    printed = []
    for source in snippets(card):
        setting = f"import {{ env }} from '@huggingface/transformers';\nenv.localModelPath = {place};\n"
        (scratch / "snippet.mjs").write_text(f"{setting}env.allowRemoteModels = false;\n{source}", encoding="utf-8")
        done = subprocess.run(
            [node, "snippet.mjs"], cwd=scratch, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout.strip())
    return printed


@pytest.mark.slow
def test_snippet_of_the_captioner_answers_as_python_does(node: str, tmp_path: Path) -> None:
    from builder.embedded.painting import render
    from builder.embedded.score import Captioner, held_out_scenes, uniform

    folder = model_dir("scenes-vlm")
    manifest = read_manifest(folder)
    photo = render(held_out_scenes(1)[0], manifest.image.width)
    card = render_card(manifest, base_model=None, license=None, repo="somebody/scenes-vlm")
    printed = run_snippets(node, folder, card, "somebody/scenes-vlm", photo, tmp_path)
    model = Captioner(folder, uniform(folder, "fp32"))
    with Image.open(tmp_path / "photo.jpg") as opened:
        expected = model.answer(model.features(opened.convert("RGB")), manifest.prompts[0].text)
    assert printed == [expected]
    assert len(expected) > 10


@pytest.mark.slow
def test_snippets_of_the_matcher_rank_as_python_does(node: str, tmp_path: Path) -> None:
    from builder.embedded.painting import render
    from builder.embedded.score import Matcher, held_out_scenes, uniform

    folder = model_dir("scenes-clip")
    manifest = read_manifest(folder)
    scene = next(scene for scene in held_out_scenes(200) if scene.is_single and scene.things[0].kind == "boat")
    photo = render(scene, manifest.image.width)
    card = render_card(manifest, base_model=None, license=None, repo="somebody/scenes-clip")
    printed = run_snippets(node, folder, card, "somebody/scenes-clip", photo, tmp_path)
    assert len(printed) == 1 + ("model" in manifest.components)
    found = {label: float(value) for label, value in re.findall(r"^(a \w+) (-?[\d.]+)$", printed[-1], re.MULTILINE)}
    model = Matcher(folder, uniform(folder, "fp32"))
    with Image.open(tmp_path / "photo.jpg") as opened:
        picture = model.images([opened.convert("RGB")])[0]
    expected = model.texts(list(found)) @ picture
    np.testing.assert_allclose(list(found.values()), expected, atol=5e-3)
    assert max(found, key=lambda label: found[label]) == "a boat"
    if "model" in manifest.components:
        assert re.search(r"label: '(\w+)'", printed[0])


@pytest.mark.slow
def test_snippets_of_every_other_family_run(node: str, tmp_path: Path) -> None:
    from builder.export import export
    from tests.checkpoints import CASES

    embedded = {read_manifest(model_dir(name)).family for name in NAMES}
    cases = {case.family: case for case in CASES.values() if case.family not in embedded}
    assert cases
    for family, case in cases.items():
        scratch = tmp_path / family
        (scratch / "checkpoint").mkdir(parents=True)
        case.make(scratch / "checkpoint")
        folder = export(str(scratch / "checkpoint"), out=scratch / "web").path
        manifest = read_manifest(folder)
        noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        card = render_card(manifest, base_model=None, license=None, repo=f"somebody/{family}")
        printed = run_snippets(node, folder, card, f"somebody/{family}", Image.fromarray(noise), scratch / "run")
        if manifest.task == "image-text-to-text":
            assert len(printed) == 1, family
            assert printed[0], f"{family} said nothing"
        else:
            assert len(printed) == 1 + ("model" in manifest.components), family
            assert all(label in text for text in printed for label in ("cup", "boat", "tree")), family

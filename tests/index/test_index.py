"""index: every photo of an album once, again only what changed, and after an interruption where it stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builder.album import AlbumIndex, rounding
from builder.embedded import model_dir
from builder.errors import IndexFileError, ModelError
from builder.evaluation import held_out
from builder.index import IndexResult, index
from builder.manifest import read_manifest
from builder.site import build
from builder.tasks import embed, pixel_values
from tests.hub.server import Hub
from tests.index.conftest import photographs

RunCli = Callable[..., "subprocess.CompletedProcess[str]"]
StartCli = Callable[..., "subprocess.Popen[str]"]
MANY = 600
"""Photos of an album that takes long enough to be stopped on the way."""
NAMES = ["2023/cat.Png", "2023/coffee.avif", "2023/summer holiday/china.webp", "IMG_0001.JPG", "flower.GIF"]


def counts(result: IndexResult) -> tuple[int, int, int, int]:
    return result.photos, result.added, result.kept, result.removed


def test_album_is_indexed_whole_with_what_its_photos_say(album: Path, tmp_path: Path) -> None:
    result = index(album, out=tmp_path / "a.index")
    found = AlbumIndex(tmp_path / "a.index")
    assert counts(result) == (5, 5, 0, 0)
    assert found.names == NAMES
    assert (found.facts.model, found.facts.dimensions) == ("scenes-clip", 128)
    for photo in found.photos():
        facts = (album / photo.name).stat()
        assert (photo.size_bytes, photo.modified_s) == (facts.st_size, int(facts.st_mtime))
        assert photo.thumbnail is not None
        assert photo.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.index", "album"]


def test_vectors_are_those_of_the_model_and_find_their_own_photo(tmp_path: Path) -> None:
    manifest = read_manifest(model_dir("scenes-clip"))
    scenes = held_out(manifest, count=12)
    assert scenes is not None
    (tmp_path / "scenes").mkdir()
    for number, example in enumerate(scenes.examples):
        example.picture.save(tmp_path / "scenes" / f"{number:02}.png")
    index(tmp_path / "scenes", out=tmp_path / "a.index")
    pictures = pixel_values(model_dir("scenes-clip"), manifest, [example.picture for example in scenes.examples])
    captions = [str(example.caption) for example in scenes.examples]
    dtypes = {"vision_model": "fp32", "text_model": "fp32"}
    vectors, texts = embed(model_dir("scenes-clip"), manifest, dtypes, pictures, captions)
    found = AlbumIndex(tmp_path / "a.index")
    assert (found.vectors() * vectors).sum(axis=1).min() > 0.9995
    assert [found.search(text, 1)[0][0] for text in texts] == list(np.argmax(texts @ vectors.T, axis=1))


def test_indexing_again_reads_only_what_is_new_or_changed(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.index"
    index(album, out=out)
    before = out.read_bytes()
    assert counts(index(album, out=out)) == (5, 0, 5, 0)
    assert out.read_bytes() == before
    photographs()["china"].save(album / "new.jpg")
    photographs()["china"].save(album / "IMG_0001.JPG")
    (album / "flower.GIF").unlink()
    assert counts(index(album, out=out)) == (5, 2, 3, 1)
    assert AlbumIndex(out).names == [*NAMES[:4], "new.jpg"]
    same = AlbumIndex(out).vectors() @ AlbumIndex(out).vectors()[4]
    assert same[3] > 0.999 > same[0], "the changed photo is not the old one"


def test_photos_of_a_folder_that_cannot_be_read_now_are_not_gone(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.index"
    index(album, out=out)
    look = os.scandir

    def refuse(place: Path) -> object:
        if Path(place).name == "2023":  # whoever runs the tests may be root, to whom nothing is refused
            raise PermissionError(13, "Permission denied", str(place))
        return look(place)

    monkeypatch.setattr(os, "scandir", refuse)
    result = index(album, out=out)
    assert counts(result) == (5, 0, 5, 0)
    assert [(one.name, one.folder) for one in result.unreadable] == [("2023", True)]
    assert AlbumIndex(out).names == [*NAMES]


def test_index_is_made_in_the_dtype_that_pages_run_on_processors_and_says_so(
    album: Path, tmp_path: Path, quantized_models: dict[str, Path]
) -> None:
    model = quantized_models["scenes-clip"]
    site = build("photo-search", model=model, out=tmp_path / "site").path
    index(album, out=tmp_path / "model.index", model=model)
    result = index(album, out=tmp_path / "site.index", model=site)
    assert result.model == "scenes-clip"
    assert (tmp_path / "site.index").read_bytes() == (tmp_path / "model.index").read_bytes()
    index(album, out=tmp_path / "plain.index")
    small, plain = (AlbumIndex(tmp_path / f"{name}.index") for name in ("site", "plain"))
    assert (small.facts.space, small.facts.model) == (plain.facts.space, plain.facts.model)
    assert (small.facts.rounding[:2], plain.facts.rounding) == ("q4", "fp32")
    half = read_manifest(model)
    assert rounding(half, "q4f16") == rounding(half, "q4") != rounding(half, "q8")
    said = list[str]()
    assert counts(index(album, out=tmp_path / "plain.index", model=site, report=said.append)) == (5, 5, 0, 0)
    assert any("fp32" in line for line in said)


def test_thumbnails_are_made_when_they_are_wanted_and_left_out_when_not(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.index"
    assert counts(index(album, out=out, thumbnails=False)) == (5, 5, 0, 0)
    assert not AlbumIndex(out).has_thumbnails
    assert counts(index(album, out=out)) == (5, 5, 0, 0)
    assert AlbumIndex(out).has_thumbnails
    assert counts(index(album, out=out, thumbnails=False)) == (5, 0, 5, 0)
    assert not AlbumIndex(out).has_thumbnails


def test_files_that_are_no_photos_are_named_and_hinder_nobody(album: Path, tmp_path: Path) -> None:
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(500))
    (album / "empty.JPEG").touch()
    (album / "notes.txt").write_text("no photo")
    (album / ".hidden.jpg").write_bytes(b"x")
    (album / "folder.jpg").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(album / "pipe.jpg")
    result = index(album, out=tmp_path / "a.index")
    assert result.photos == 5
    assert {one.name for one in result.unreadable} == {"broken.jpg", "empty.JPEG", "pipe.jpg"}
    assert next(one.why for one in result.unreadable if one.name == "empty.JPEG") == "it is empty"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_within_the_album_only(album: Path, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    photographs()["cat"].save(tmp_path / "private" / "secret.jpg")
    (album / "leads-out.jpg").symlink_to(tmp_path / "private" / "secret.jpg")
    (album / "folder").symlink_to(tmp_path / "private")
    (album / "loop").symlink_to(album)
    (album / "dangling.jpg").symlink_to(album / "absent.jpg")
    (album / "within.jpg").symlink_to(album / "IMG_0001.JPG")
    result = index(album, out=tmp_path / "a.index")
    assert AlbumIndex(tmp_path / "a.index").names == [*NAMES, "within.jpg"]
    assert {one.name for one in result.unreadable} == {"leads-out.jpg", "dangling.jpg"}


def test_names_that_no_page_could_show_are_refused_one_by_one(album: Path, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("other systems have no such names")
    shutil.copy(album / "IMG_0001.JPG", os.fsencode(album) + b"/caf\xe9.jpg")
    shutil.copy(album / "IMG_0001.JPG", album / "two\nlines.jpg")
    result = index(album, out=tmp_path / "a.index")
    assert result.photos == 5
    assert {one.why for one in result.unreadable} == {"its name is no UTF-8", "its name has control characters"}
    assert json.dumps([one.name for one in result.unreadable], ensure_ascii=False).encode()


def test_index_that_is_not_ours_is_left_alone(album: Path, tmp_path: Path) -> None:
    (tmp_path / "a.index").write_text("my notes")
    with pytest.raises(IndexFileError, match="no index") as raised:
        index(album, out=tmp_path / "a.index")
    assert "-o" in raised.value.hint
    assert (tmp_path / "a.index").read_text() == "my notes"


def test_folder_without_a_photo_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match="is no folder"):
        index(tmp_path / "absent", out=tmp_path / "a.index")
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "a.jpg").touch()
    with pytest.raises(IndexFileError, match=r"no photo that can be read: a\.jpg: it is empty"):
        index(tmp_path / "album", out=tmp_path / "a.index")
    assert not (tmp_path / "a.index").exists()


def test_model_that_makes_no_vectors_is_refused(album: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no vectors of pictures"):
        index(album, out=tmp_path / "a.index", model="scenes-vlm")
    with pytest.raises(ModelError, match="no model"):
        index(album, out=tmp_path / "a.index", model="scenes-clup")


def test_model_on_the_hub_is_fetched_as_far_as_pictures_need_it(
    album: Path, tmp_path: Path, hub: Hub, hub_environment: Callable[..., dict[str, str]], run_cli: RunCli
) -> None:
    model = shutil.copytree(model_dir("scenes-clip"), tmp_path / "model")
    hub.add("somebody/scenes", model)
    command = ("index", str(album), "-o", str(tmp_path / "hub.index"), "--model", "somebody/scenes")
    done = run_cli(*command, env=hub_environment())
    assert done.returncode == 0, done.stderr
    assert sorted(hub.fetched()) == ["manifest.json", "preprocessor_config.json", "vision_model.onnx"]
    index(album, out=tmp_path / "local.index", model=model)
    assert (tmp_path / "hub.index").read_bytes() == (tmp_path / "local.index").read_bytes()
    hub.requests.clear()
    assert run_cli(*command, env=hub_environment()).returncode == 0
    assert hub.fetched() == []
    (model / "onnx" / "vision_model.onnx").write_bytes(b"another graph")
    done = run_cli(*command, env=hub_environment())
    assert done.returncode != 0
    assert "holds another onnx/vision_model.onnx than its manifest.json says" in " ".join(done.stderr.split())
    (model / "manifest.json").unlink()
    done = run_cli(*command, env=hub_environment())
    assert "has no manifest.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_index_of_another_model_is_made_anew(album: Path, tmp_path: Path) -> None:
    model = shutil.copytree(model_dir("scenes-clip"), tmp_path / "model")
    facts = json.loads((model / "manifest.json").read_text())
    facts["image"]["resample"] = "bicubic"
    (model / "manifest.json").write_text(json.dumps(facts))
    index(album, out=tmp_path / "a.index")
    said = list[str]()
    result = index(album, out=tmp_path / "a.index", model=model, report=said.append)
    assert counts(result) == (5, 5, 0, 0)
    assert any("another model" in line for line in said)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """An album of `MANY` photos, and its index as it is made in one go."""
    root = tmp_path_factory.mktemp("many")
    (root / "album").mkdir()
    for number in range(MANY):
        Image.new("RGB", (160, 120), (number % 256, number // 256, 90)).save(root / "album" / f"{number:04}.jpg")
    assert counts(index(root / "album", out=root / "a.index")) == (MANY, MANY, 0, 0)
    return root / "album", (root / "a.index").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_run_that_was_stopped_goes_on_where_it_was(
    how: signal.Signals, many: tuple[Path, bytes], tmp_path: Path, start_cli: StartCli, run_cli: RunCli
) -> None:
    album, whole = many
    started = start_cli("index", str(album), "-o", "a.index")
    journal = tmp_path / ".a.index.journal"
    deadline = time.monotonic() + 120
    while not list(journal.glob("*.index")):
        assert time.monotonic() < deadline and started.poll() is None, "it was over before it could be stopped"
        time.sleep(0.005)
    started.send_signal(how)
    started.communicate(timeout=60)
    assert not (tmp_path / "a.index").exists()
    done = run_cli("index", str(album), "-o", "a.index", "--json")
    result = json.loads(done.stdout)
    assert result["photos"] == MANY
    assert 0 < result["kept"] < MANY
    assert "going on" in done.stderr
    assert (tmp_path / "a.index").read_bytes() == whole
    assert not journal.exists()


def test_folder_in_the_place_of_an_index_is_left_alone(album: Path) -> None:
    with pytest.raises(IndexFileError, match="is a folder") as caught:
        index(album, out=album)
    assert caught.value.hint == f"give a file with -o: {album.name}.index"


def test_journal_that_was_cut_off_is_passed_over(album: Path, tmp_path: Path) -> None:
    index(album, out=tmp_path / "b.index")
    journal = tmp_path / ".a.index.journal"
    journal.mkdir()
    whole = (tmp_path / "b.index").read_bytes()
    (journal / "000000.index").write_bytes(whole[: len(whole) // 2])
    (journal / "000001.index").write_bytes(whole)
    assert counts(index(album, out=tmp_path / "a.index")) == (5, 0, 5, 0)
    assert (tmp_path / "a.index").read_bytes() == whole
    assert not journal.exists()


def test_command_says_what_it_did_and_what_it_left_out(album: Path, run_cli: RunCli, tmp_path: Path) -> None:
    (album / "empty.jpg").touch()
    done = run_cli("index", str(album), "-o", "a.index")
    assert done.returncode == 0, done.stderr
    assert "not indexed: empty.jpg: it is empty" in done.stdout
    assert "5 photos with scenes-clip" in done.stdout
    again = run_cli("index", str(album), "-o", "nowhere/a.index")
    assert again.returncode == 1
    assert "there is no folder" in again.stderr


@pytest.mark.soak
def test_album_of_two_thousand_files_is_indexed_with_all_its_oddities(tmp_path: Path) -> None:
    """Crops of real photographs in nested folders, in every format, turned, upper-case, broken, empty and huge."""
    rng, album = np.random.default_rng(7), tmp_path / "album"
    endings = ["JPG", "jpg", "jpeg", "PNG", "webp", "avif", "gif"]
    pictures = list(photographs().values())
    for number in range(2000):
        folder = album / f"{2000 + number % 12}" / f"month {number % 7}" / "camera"
        folder.mkdir(parents=True, exist_ok=True)
        picture = pictures[number % len(pictures)]
        left, top = int(rng.integers(0, picture.width - 200)), int(rng.integers(0, picture.height - 200))
        exif = Image.Exif()
        exif[0x0112] = int(rng.integers(1, 9))
        crop, ending = picture.crop((left, top, left + 200, top + 180)), endings[number % len(endings)]
        extra = {"exif": exif} if ending in ("JPG", "jpg", "jpeg", "webp") else {}
        crop.save(folder / f"IMG_{number:04}.{ending}", **extra)
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(1000))
    (album / "empty.jpg").touch()
    Image.new("RGB", (10_000, 10_000), "red").save(album / "huge.png")
    result = index(album, out=tmp_path / "a.index")
    assert (result.photos, {one.name for one in result.unreadable}) == (2001, {"broken.jpg", "empty.jpg"})
    assert counts(index(album, out=tmp_path / "a.index")) == (2001, 0, 2001, 0)
    plain = index(album, out=tmp_path / "b.index", thumbnails=False)
    assert plain.size_bytes / 2001 < 560 - 512 + 128, "128 dimensions"

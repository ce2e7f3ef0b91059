"""Photos are opened as the page opens them, whatever their format, orientation and state, and say when and where."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from builder.index.pictures import PhotoError, fingerprint, open_photo
from builder.manifest import ImageFacts
from builder.tasks import fit_picture
from tests.index.conftest import photographs

FACTS = ImageFacts(width=128, height=128)
HOLIDAY = 1_688_213_109_000
"""2023-07-01 12:05:09, the clock on the wall."""


def pixels(path: Path) -> np.ndarray:
    return open_photo(path, FACTS, thumbnail=False).pixels.astype(int)


def exif_of(**tags: object) -> Image.Exif:
    exif = Image.Exif()
    if "orientation" in tags:
        exif[0x0112] = tags["orientation"]
    if "date" in tags:
        exif.get_ifd(0x8769)[0x9003] = tags["date"]
    if "gps" in tags:
        exif.get_ifd(0x8825).update(tags["gps"])  # type: ignore[call-overload]
    return exif


@pytest.mark.parametrize("ending", ["JPG", "jpeg", "png", "WebP", "avif", "gif", "HEIC", "hif", "bmp", "TIFF"])
def test_photo_in_any_format_becomes_nearly_the_same_pixels(ending: str, tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()
    photo, path = photographs()["cat"], tmp_path / f"cat.{ending}"
    kind = {"format": "HEIF"} if ending == "hif" else {}
    options = {} if ending.lower() in ("gif", "png", "bmp", "tiff") else {"quality": 95}
    photo.save(path, **kind, **options)
    apart = np.abs(pixels(path) - fit_picture(photo, FACTS))
    assert apart.mean() < (4 if ending == "gif" else 2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_of_a_turned_camera_is_put_upright(orientation: int, tmp_path: Path) -> None:
    upright = photographs()["coffee"].crop((0, 0, 500, 300))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # EXIF → what lays the upright picture down
    lying = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    lying.save(tmp_path / "a.jpg", quality=95, exif=exif_of(orientation=orientation))
    opened = open_photo(tmp_path / "a.jpg", FACTS, thumbnail=True)
    assert np.abs(opened.pixels.astype(int) - fit_picture(upright, FACTS)).mean() < 2
    assert opened.thumbnail is not None
    small = Image.open(io.BytesIO(opened.thumbnail))
    assert (small.format, small.size) == ("WEBP", (320, 192))


def test_photo_tells_when_and_where_it_was_taken(tmp_path: Path) -> None:
    south_west = {1: "S", 2: (33.0, 30.0, 0.0), 3: "W", 4: (70.0, 15.0, 36.0)}
    photographs()["cat"].save(tmp_path / "a.jpg", exif=exif_of(date="2023:07:01 12:05:09", gps=south_west))
    opened = open_photo(tmp_path / "a.jpg", FACTS, thumbnail=False)
    assert opened.date_ms == HOLIDAY
    assert opened.place == pytest.approx((-33.5, -70.26))


@pytest.mark.parametrize("date", ["0000:00:00 00:00:00", "2023:13:45 99:99:99", "yesterday", "", "2023"])
def test_date_that_is_none_is_no_date(date: str, tmp_path: Path) -> None:
    photographs()["cat"].save(tmp_path / "a.jpg", exif=exif_of(date=date, gps={1: "N", 2: (0.0, 0.0, 0.0)}))
    opened = open_photo(tmp_path / "a.jpg", FACTS, thumbnail=False)
    assert (opened.date_ms, opened.place) == (None, None)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_photo_with_damaged_exif_is_read_without_it(tmp_path: Path) -> None:
    out, rng = io.BytesIO(), np.random.default_rng(5)
    gps = {1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (1.0, 2.0, 3.0)}
    photographs()["cat"].save(out, "JPEG", exif=exif_of(date="2023:07:01 12:05:09", orientation=6, gps=gps))
    content = out.getvalue()
    start = content.index(b"Exif\0\0") + 6
    length = struct.unpack(">H", content[start - 8 : start - 6])[0]
    for _ in range(60):
        changed = bytearray(content)
        for at in rng.integers(start, start + length - 8, 6):
            changed[at] = rng.integers(0, 256)
        (tmp_path / "a.jpg").write_bytes(changed)
        assert open_photo(tmp_path / "a.jpg", FACTS, thumbnail=False).pixels.shape == (128, 128, 3)


def test_transparent_parts_are_white_and_16_bits_are_scaled(tmp_path: Path) -> None:
    Image.new("RGBA", (200, 200), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (pixels(tmp_path / "clear.png") == 255).all()
    Image.fromarray(np.full((200, 200), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    assert (pixels(tmp_path / "deep.png") == 128).all()
    Image.new("P", (200, 200)).save(tmp_path / "clear.gif", transparency=0)
    assert (pixels(tmp_path / "clear.gif") == 255).all()


def test_colours_of_another_profile_are_brought_to_srgb(tmp_path: Path) -> None:
    photo = photographs()["coffee"]
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    photo.save(tmp_path / "odd.png", icc_profile=linear[:200])  # a profile that is none
    assert np.array_equal(pixels(tmp_path / "odd.png"), fit_picture(photo, FACTS))
    lab = ImageCms.createProfile("sRGB")
    photo.save(tmp_path / "same.png", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    assert np.abs(pixels(tmp_path / "same.png") - fit_picture(photo, FACTS)).max() <= 2


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_picture_of_100_megapixels_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"huge.{kind}"
    huge = Image.new("L", (10_000, 10_000), 90)
    huge.paste(200, (0, 0, 5_000, 10_000))
    huge.save(path)
    opened = open_photo(path, FACTS, thumbnail=True)
    assert opened.pixels[:, :60].mean() == pytest.approx(200, abs=1)
    assert opened.pixels[:, 70:].mean() == pytest.approx(90, abs=1)


def test_file_that_would_fill_memory_is_refused(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(PhotoError, match="more than 179 megapixels"):
        open_photo(tmp_path / "bomb.png", FACTS, thumbnail=True)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\xff\xd8\xff\xe0" + bytes(999), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_file_that_is_no_photo_is_refused_in_words(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(PhotoError, match="it "):
        open_photo(tmp_path / "a.jpg", FACTS, thumbnail=False)


def test_photo_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    photographs()["cat"].save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PhotoError, match="truncated"):
        open_photo(tmp_path / "a.jpg", FACTS, thumbnail=False)


def test_fingerprint_stays_near_when_a_photo_is_compressed_and_is_far_from_others(tmp_path: Path) -> None:
    prints = {name: fingerprint(fit_picture(photo, FACTS)) for name, photo in photographs().items()}
    for name, photo in photographs().items():
        photo.resize((photo.width // 2, photo.height // 2)).save(tmp_path / "small.jpg", quality=40)
        again = fingerprint(pixels(tmp_path / "small.jpg").astype(np.uint8))
        assert (again ^ prints[name]).bit_count() <= 6
        assert all((again ^ other).bit_count() > 12 for key, other in prints.items() if key != name)
    assert fingerprint(np.full((128, 128, 3), 9, np.uint8)) == 0

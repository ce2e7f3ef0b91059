"""Albums of real photographs for the search page: what scikit-image and scikit-learn ship, in every format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from skimage import data as skimage_data
from sklearn import datasets as sklearn_datasets

DRAWN = frozenset(
    {"chessboard_GRAY", "chessboard_RGB", "color", "logo", "phantom", "multipage", "multipage_rgb", "horse"}
)
ENDINGS = ("jpg", "PNG", "webp", "JPG", "gif", "Jpeg", "avif", "HEIC")
TAKEN = "2019:05:03 16:20:11"
PLACE = (48.8584, 2.2945)
ORIENTATION, DATE_TIME, EXIF_IFD, GPS_IFD, DATE_ORIGINAL = 0x0112, 0x0132, 0x8769, 0x8825, 0x9003


def packaged_photographs() -> list[Path]:
    """The photographs that lie inside scikit-image and scikit-learn; drawn charts and logos are left out."""
    folders = (Path(skimage_data.__file__).parent, Path(sklearn_datasets.__file__).parent / "images")
    files = [path for folder in folders for path in folder.iterdir() if path.suffix in (".png", ".jpg")]
    return sorted((path for path in files if path.stem not in DRAWN), key=lambda path: path.stem)


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """An album on disk: ``good`` files show something, ``bad`` ones do not, ``turned`` are upright by EXIF only."""

    folder: Path
    good: tuple[str, ...]
    bad: tuple[str, ...]
    turned: tuple[str, ...]


def write_photographs(folder: Path) -> Photographs:
    """Write every packaged photograph in one of eight formats, some turned, with the files that albums also hold."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    good, turned = [], []
    for number, source in enumerate(packaged_photographs()):
        ending = ENDINGS[number % len(ENDINGS)]
        path = folder / f"part {number % 3}" / f"{source.stem}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(source) as opened:
            image = opened.convert("RGB")
        turns = ending.lower() in ("jpg", "jpeg") and number % 2 == 1
        _save(image.rotate(90, expand=True) if turns else image, path, orientation=6 if turns else 1)
        os.utime(path, (1_600_000_000 + number * 86_400,) * 2)
        good.append(f"{path.parent.name}/{path.name}")
        if turns:
            turned.append(path.name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    (folder / "empty.JPG").write_bytes(b"")
    (folder / "notes.txt").write_text("no photo", encoding="utf-8")
    (folder / ".hidden.jpg").write_bytes(b"no photo either")
    return Photographs(folder=folder, good=tuple(good), bad=("broken.jpg", "empty.JPG"), turned=tuple(turned))


def write_huge(path: Path) -> None:
    """Write a photograph of 100 megapixels."""
    with Image.open(packaged_photographs()[3]) as opened:
        opened.convert("RGB").resize((11_600, 8_700), Image.Resampling.BILINEAR).save(path, quality=60)


def write_variants(folder: Path, count: int) -> None:
    """Write that many small photographs into folders three deep: crops of the packaged ones, no two alike."""
    sources = []
    for source in packaged_photographs():
        with Image.open(source) as opened:
            image = opened.convert("RGB")
        image.thumbnail((256, 256))
        sources.append(image)
    for number in range(count):
        image = sources[number % len(sources)]
        turn = number // len(sources)
        left, top = (turn * 7) % 60, (turn * 13) % 60
        box = (left, top, max(left + 90, image.width - (turn * 5) % 50), max(top + 90, image.height - (turn * 3) % 50))
        path = folder / f"{number % 10}" / f"{number % 7}" / f"IMG_{number:04}.{'JPG' if number % 2 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.crop(box).resize((160, 120)).save(path, quality=80)


def _save(image: Image.Image, path: Path, *, orientation: int) -> None:
    ending = path.suffix.lower()
    if ending in (".gif", ".png"):
        image.save(path)
        return
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif.get_ifd(EXIF_IFD)[DATE_ORIGINAL] = TAKEN
    latitude, longitude = (_degrees(abs(value)) for value in PLACE)
    exif.get_ifd(GPS_IFD).update({1: "N", 2: latitude, 3: "E", 4: longitude})
    image.save(path, exif=exif)


def _degrees(value: float) -> tuple[float, float, float]:
    degrees, rest = divmod(value, 1)
    minutes, rest = divmod(rest * 60, 1)
    return degrees, minutes, round(rest * 60, 2)

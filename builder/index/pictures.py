"""Opens a photo as the page does: upright, in sRGB, transparent parts on white, at the size that the model takes.

Start with `open_photo`. Large JPEGs are decoded at a fraction of their size, as long as twice the pixels that are
needed remain; of the other kinds only one large picture is decoded at a time, so that memory stays bounded.
"""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from builder.index.exif import date_of, orientation_of, place_of
from builder.manifest import ImageFacts
from builder.tasks import fit_picture

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "HEIF", "BMP", "TIFF")
"""What is opened, whatever the ending: no format that starts another program."""
HEIC = frozenset({".heic", ".heif", ".hif"})
LARGE_PIXELS = 40_000_000
MOST_PIXELS = 178_956_970
"""Where Pillow refuses a picture as a decompression bomb."""
THUMBNAIL_SIDE = 192
THUMBNAIL_QUALITY = 60
ACROSS, DOWN = 9, 8

_one_large_picture = threading.Lock()
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation → what puts the picture upright."""


class PhotoError(Exception):
    """Why a file is no photo that can be indexed, in words."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A photo at the model's size, uint8 [height, width, 3], and what its file says; see `Photo`."""

    pixels: np.ndarray
    fingerprint: int
    date_ms: float | None
    place: tuple[float, float] | None
    thumbnail: bytes | None


def open_photo(path: Path, facts: ImageFacts, *, thumbnail: bool) -> Opened:
    """Open a photo; ``date_ms`` is None where its file has no date of its own.

    Raises:
        PhotoError: it cannot be read, or is too large.
    """
    try:
        return _open(path, facts, thumbnail)
    except UnidentifiedImageError:
        missing = path.suffix.lower() in HEIC and not _heic_opens()
        raise PhotoError(
            "HEIC needs `pip install 'webgpu-demo-builder[heic]'`" if missing else "it is no picture of a known kind"
        ) from None
    except Image.DecompressionBombError:
        raise PhotoError(f"it has more than {MOST_PIXELS / 1e6:.0f} megapixels") from None
    except PhotoError:
        raise
    except Exception as error:  # what decoders raise for a damaged file has no common class
        raise PhotoError(f"it cannot be read: {error or type(error).__name__}") from error


def fingerprint(pixels: np.ndarray) -> int:
    """The perceptual hash of a picture uint8 [height, width, 3], as perceptual.js computes it."""
    grey = pixels.astype(np.int64) @ np.array([299, 587, 114])
    rows = [-(-cell * grey.shape[0] // DOWN) for cell in range(DOWN)]
    columns = [-(-cell * grey.shape[1] // ACROSS) for cell in range(ACROSS)]
    sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=0), columns, axis=1)
    wide = np.diff([*columns, grey.shape[1]])  # pixels in a row of a cell; the cells of a row are equally high
    darker = sums[:, :-1] * wide[1:] < sums[:, 1:] * wide[:-1]
    return int(np.packbits(darker.reshape(-1), bitorder="little").view("<u8")[0])


def _open(path: Path, facts: ImageFacts, thumbnail: bool) -> Opened:
    _heic_opens()
    with Image.open(path, formats=[kind for kind in FORMATS if kind in Image.OPEN]) as file, _room_for(file):
        side = 2 * max(facts.width, facts.height, THUMBNAIL_SIDE if thumbnail else 0)
        file.draft(None, (side, side))  # only JPEG can
        exif = file.getexif()
        picture = _in_srgb(file)
        picture.info = {}  # the orientation is dealt with here, once
        turn = _TURNS.get(orientation_of(exif))
        if turn is not None:  # the first of them is 0
            picture = picture.transpose(turn)
        pixels = fit_picture(picture, facts)
        return Opened(
            pixels=pixels,
            fingerprint=fingerprint(pixels),
            date_ms=date_of(exif),
            place=place_of(exif),
            thumbnail=_thumbnail(picture) if thumbnail else None,
        )


@contextmanager
def _room_for(file: Image.Image) -> Iterator[None]:
    """Wait until no other large picture is decoded. JPEGs are reduced on the way and need no room."""
    if file.width * file.height <= LARGE_PIXELS or file.format in ("JPEG", "MPO"):
        yield
        return
    with _one_large_picture:
        yield


def _in_srgb(file: Image.Image) -> Image.Image:
    profile = file.info.get("icc_profile")
    picture: Image.Image = file
    if picture.mode.startswith("I"):  # 16 bits, which Pillow would clip instead of scaling them
        picture = Image.fromarray((np.asarray(picture, np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    if profile and picture.mode in ("RGB", "RGBA", "CMYK"):
        picture = picture.convert("RGB") if picture.mode == "RGBA" else picture
        try:
            found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            changed = ImageCms.profileToProfile(picture, found, _srgb(), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, struct.error):
            changed = None  # a profile that is none: browsers ignore it too
        picture = changed if changed is not None else picture
    return picture.convert("RGB")


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _thumbnail(picture: Image.Image) -> bytes:
    scale = min(1.0, THUMBNAIL_SIDE / min(picture.size))
    width, height = (max(1, min(round(edge * scale), 4 * THUMBNAIL_SIDE)) for edge in picture.size)
    small = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=THUMBNAIL_QUALITY, method=2)
    return out.getvalue()


@cache
def _heic_opens() -> bool:
    """Load Pillow's formats, and that of HEIC where the optional package for it is installed; say whether it is."""
    Image.init()
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True

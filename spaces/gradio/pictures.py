"""Pictures: uploaded bytes become what the model takes, with the pixels that the page would make of them.

Start with `read_picture`, `fit_picture` and `pixel_values`. What is too large, too long or no picture is refused with
one sentence. Like a browser, and unlike Pillow alone, this turns pictures upright, converts them to sRGB and puts
transparent ones on white.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

MAX_BYTES = 10_000_000
MAX_PIXELS = 50_000_000
MAX_SIDE = 12_000
MAX_RATIO = 20
"""How many times as long as wide: cropping a strip to its middle would first make it enormous."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class PictureError(Exception):
    """The picture is refused; the message is for the visitor."""


def read_picture(data: bytes) -> Image.Image:
    """Decode an uploaded picture, after looking at its size: RGB, upright.

    Raises:
        PictureError: it is too large, of a strange shape, or no picture that can be read.
    """
    if len(data) > MAX_BYTES:
        raise PictureError(f"The picture has more than {MAX_BYTES // 1_000_000} MB. Send a smaller one.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            _check_size(*opened.size)
            opened.load()
            return _on_white(_in_srgb(ImageOps.exif_transpose(opened)))
    except Image.DecompressionBombError as error:
        raise PictureError(f"The picture has more than {MAX_PIXELS // 1_000_000} megapixels.") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:  # what Pillow's decoders raise
        raise PictureError("This is no picture that can be read. Send a JPEG, PNG, WebP, GIF or BMP file.") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise PictureError(
            f"The picture has {width} × {height} pixels. At most {MAX_PIXELS // 1_000_000} megapixels"
            f" and {MAX_SIDE} pixels on a side can be taken."
        )
    if max(width, height) > MAX_RATIO * min(width, height):
        raise PictureError(f"The picture is more than {MAX_RATIO} times as long as it is wide.")


def _in_srgb(picture: Image.Image) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "RGBA", "L", "CMYK"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        done = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError):  # a profile that cannot be used: browsers ignore it as well
        return picture
    return picture if done is None else done


def _on_white(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    white.alpha_composite(layer)
    return white.convert("RGB")


def fit_picture(picture: Image.Image, facts: Mapping[str, Any]) -> np.ndarray:
    """Bring a picture to the model's size as the manifest's ``image`` says: uint8 [height, width, 3]."""
    target, kind = (int(facts["width"]), int(facts["height"])), FILTERS[facts.get("resample", "bilinear")]
    fit = facts.get("fit", "crop")
    if fit == "stretch":
        fitted = picture.resize(target, kind)
    elif fit == "letterbox":
        side = max(picture.size)
        square = Image.new("RGB", (side, side))
        square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        fitted = square.resize(target, kind)
    else:
        shorter, longer = min(picture.size), max(target)
        size = (longer * picture.width // shorter, longer * picture.height // shorter)
        left, top = (size[0] - target[0]) // 2, (size[1] - target[1]) // 2
        fitted = picture.resize(size, kind).crop((left, top, left + target[0], top + target[1]))
    return np.asarray(fitted, np.uint8)


def pixel_values(pixels: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Pixels uint8 [H, W, 3] as preprocessor_config.json wants them: float32 [3, H, W]."""
    values = pixels.astype(np.float32) / np.float32(255)
    if settings.get("do_normalize", True):
        mean, std = (np.asarray(settings[key], np.float32) for key in ("image_mean", "image_std"))
        values = (values - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)

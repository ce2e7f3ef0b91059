"""Videos for Chromium's fake camera: YUV 4:2:0 in YUV4MPEG2 files, of known scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from builder.embedded.painting import render
from builder.embedded.samples import video_scenes

CAMERA_PIXELS, CAMERA_RATE = 320, 5


def scene_pixels(index: int, size: int = CAMERA_PIXELS) -> np.ndarray:
    """One of the scenes of the sample video, size × size × 3."""
    return np.asarray(render(video_scenes()[index], size), np.float32)


def write_camera(path: Path, pictures: Sequence[np.ndarray], *, seconds_each: float) -> Path:
    """Write a video for the fake camera: YUV 4:2:0 in a YUV4MPEG2 file, which Chromium plays again and again."""
    size = len(pictures[0])
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{size} H{size} F{CAMERA_RATE}:1 Ip A1:1 C420mpeg2\n".encode())
        for picture in pictures:
            file.write((b"FRAME\n" + yuv420(picture)) * round(seconds_each * CAMERA_RATE))
    return path


def yuv420(rgb: np.ndarray) -> bytes:
    """BT.601 studio-range planes of an RGB picture, chroma halved both ways."""
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    u, v = (plane.reshape(plane.shape[0] // 2, 2, plane.shape[1] // 2, 2).mean(axis=(1, 3)) for plane in (u, v))
    return b"".join(np.clip(np.round(plane), 0, 255).astype(np.uint8).tobytes() for plane in (y, u, v))

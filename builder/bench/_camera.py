"""A video of drawn scenes for Chromium's fake camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from builder.embedded.painting import render
from builder.embedded.samples import video_scenes

WIDTH, HEIGHT, RATE = 640, 480, 10
SECONDS_EACH = 2


def camera_flags(video: Path) -> list[str]:
    """What makes Chromium show ``video`` as the camera, and allow it without a question."""
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={video}",
    ]


def write_camera(path: Path) -> None:
    """Write the scenes of the sample video, ``SECONDS_EACH`` each: YUV 4:2:0 in a YUV4MPEG2 file."""
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip A1:1 C420mpeg2\n".encode())
        for scene in video_scenes():
            picture = render(scene, WIDTH).crop((0, (WIDTH - HEIGHT) // 2, WIDTH, (WIDTH + HEIGHT) // 2))
            frame = b"FRAME\n" + _yuv420(np.asarray(picture, np.float32))
            for _ in range(SECONDS_EACH * RATE):
                file.write(frame)


def _yuv420(rgb: np.ndarray) -> bytes:
    """BT.601 studio-range planes of an RGB picture, chroma halved both ways."""
    luma = 16 + rgb @ np.array([65.481, 128.553, 24.966], np.float32) / 255
    blue = 128 + rgb @ np.array([-37.797, -74.203, 112.0], np.float32) / 255
    red = 128 + rgb @ np.array([112.0, -93.786, -18.214], np.float32) / 255
    halved = [plane.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean(axis=(1, 3)) for plane in (blue, red)]
    return b"".join(np.clip(np.round(plane), 0, 255).astype(np.uint8).tobytes() for plane in (luma, *halved))

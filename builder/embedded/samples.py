"""The sample album and the sample video that go with the embedded models.

The album is painted when a site is built; the video is painted and encoded once, because encoding needs ffmpeg:

    python -m builder.embedded.samples VIDEO.webm
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from builder.embedded.painting import render
from builder.embedded.scenes import Scene, sample_scene
from builder.errors import SiteError

ALBUM_SIZE = 60
ALBUM_PIXELS = 384
VIDEO_SCENES = 10
VIDEO_PIXELS = 480
SECONDS_PER_SCENE = 4
FRAMES_PER_SECOND = 10
_VIDEO = Path(__file__).parent / "sample" / "scenes.webm"


def _different_scenes(seed: int, count: int) -> list[Scene]:
    """Scenes no two of which share a caption."""
    rng = np.random.default_rng(seed)
    scenes: dict[str, Scene] = {}
    while len(scenes) < count:
        scene = sample_scene(rng)
        scenes.setdefault(scene.caption, scene)
    return list(scenes.values())


def album_scenes() -> dict[str, Scene]:
    """File name → scene of the sample album. Names do not tell what is to be seen."""
    scenes = _different_scenes(64, ALBUM_SIZE)  # the first seed whose album holds a yellow cup and five signs
    return {f"photo-{index:02}.jpg": scene for index, scene in enumerate(scenes, start=1)}


def video_scenes() -> list[Scene]:
    """The scenes of the sample video, in order."""
    return _different_scenes(10, VIDEO_SCENES)


def write_sample(kind: str, target: Path) -> dict[str, Any]:
    """Write the sample material of a page into ``target/sample`` and return the page config's ``sample`` value.

    Raises:
        SiteError: there is no such kind of sample.
    """
    folder = target / "sample"
    if kind == "video":
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_VIDEO, folder / _VIDEO.name)
        return {"video": f"sample/{_VIDEO.name}"}
    if kind == "album":
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        photos = []
        for name, scene in album_scenes().items():
            render(scene, ALBUM_PIXELS).save(folder / "photos" / name, "JPEG", quality=88)
            photos.append({"name": name, "path": f"sample/photos/{name}"})
        (folder / "album.json").write_text(json.dumps({"photos": photos}, indent=1) + "\n", encoding="utf-8")
        return {"album": "sample/album.json"}
    raise SiteError(f"there is no sample material {kind!r}", hint="page.json may name video or album")


def encode_video(path: Path) -> None:
    """Encode the sample video as VP9 in WebM, which Chrome, Firefox and Safari play, with ffmpeg from the PATH."""
    frames = b"".join(
        np.asarray(render(scene, VIDEO_PIXELS)).tobytes() * (SECONDS_PER_SCENE * FRAMES_PER_SECOND)
        for scene in video_scenes()
    )
    size, rate = f"{VIDEO_PIXELS}x{VIDEO_PIXELS}", str(FRAMES_PER_SECOND)
    command = [
        "ffmpeg",
        "-y",
        "-loglevel",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        size,
        "-r",
        rate,
        "-i",
        "-",
    ]
    command += ["-c:v", "libvpx-vp9", "-crf", "34", "-b:v", "0", "-g", str(SECONDS_PER_SCENE * FRAMES_PER_SECOND)]
    command += ["-pix_fmt", "yuv420p", "-an", "-fflags", "+bitexact", "-flags:v", "+bitexact", str(path)]
    subprocess.run(command, input=frames, check=True)


if __name__ == "__main__":
    encode_video(Path(sys.argv[1]))

"""Photos per second of an OpenCLIP checkpoint on PyTorch's CPU: CHECKPOINT PHOTOS BATCH THREADS. Knows nothing of this.

As programs do that search photos from the command line: Pillow opens, torchvision resizes, the model encodes, vectors
are normalised. The model is folded for inference first, which such programs do not always do.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.utils.model import reparameterize_model
from torchvision.transforms import (  # type: ignore[import-untyped]
    CenterCrop,
    Compose,
    InterpolationMode,
    Resize,
    ToTensor,
)


def main(checkpoint: Path, photos: Path, batch: int, threads: int) -> None:
    torch.set_num_threads(threads)
    config = json.loads((checkpoint / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    model: Any = open_clip.CustomTextCLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"]).eval()
    model.load_state_dict(load_file(checkpoint / "open_clip_model.safetensors"))
    model = reparameterize_model(model)
    size = config["vision_cfg"]["image_size"]
    prepare = Compose([Resize(size, InterpolationMode.BILINEAR), CenterCrop(size), ToTensor()])

    def batches() -> Iterator[torch.Tensor]:
        files = sorted(photos.iterdir())
        for start in range(0, len(files), batch):
            opened = (Image.open(file).convert("RGB") for file in files[start : start + batch])
            yield torch.stack([prepare(picture) for picture in opened])

    with torch.inference_mode():
        model.encode_image(next(batches()), normalize=True)
        started = time.monotonic()
        count = 0
        for pixels in batches():
            count += len(model.encode_image(pixels, normalize=True))
        print(json.dumps({"rate": count / (time.monotonic() - started)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

"""The part of config.json that tells transformers.js what to load: dtypes and files of external data.

export writes it for fp32, quantize and verify again when they have chosen the tiers. What the pages load is in the
manifest; this is for everybody else, who loads the folder by its name alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from builder.errors import ModelError
from builder.manifest import Variant, check_inside

DEFAULT_TIER = "webgpu"
"""Its dtypes run on every WebGPU device: float16 needs a feature of the adapter that transformers.js checks too late.

On WASM they run where onnxruntime-web's plain build is loaded, as the pages do; the build that transformers.js loads by
itself lacks a kernel for a quantized table there. A map for WASM in ``device_config`` would have to name a table that a
published model does not ship, so that the card says it instead (card.py)."""

TEXTS = ("config.json", "README.md")
"""What quantize and verify change of a web model, besides its manifest."""


def copy_texts(model_dir: Path, staged: Path) -> None:
    """Copy what is to be changed beside the model.

    Raises:
        ModelError: it is a link: a copy would make what it points to a part of the model.
    """
    check_inside(model_dir, TEXTS)
    for name in TEXTS:
        if (model_dir / name).is_file():
            shutil.copyfile(model_dir / name, staged / name)


def write_defaults(
    folder: Path, components: Mapping[str, Mapping[str, Variant]], tiers: Mapping[str, Mapping[str, str]]
) -> None:
    """Set ``transformers.js_config`` of the folder's config.json.

    Raises:
        ModelError: there is no config.json, or it is no JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint="export the checkpoint again") from error
    chunks = {
        Path(variant.path).name: len(variant.data)
        for variants in components.values()
        for variant in variants.values()
        if variant.data
    }
    # A map by full file names: one number for all files would send transformers.js after chunks that are not there.
    external = {"use_external_data_format": chunks} if chunks else {}
    dtypes = dict(tiers.get(DEFAULT_TIER) or dict.fromkeys(components, "fp32"))
    config["transformers.js_config"] = {"dtype": dtypes, **external}
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

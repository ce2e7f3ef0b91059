"""webgpu-demo-builder: from a vision-language or image-text checkpoint to a web page that runs it on the visitor's GPU.

    import builder

    builder.export("checkpoint/", out=Path("model"))
    builder.quantize(Path("model"), dtypes=["q4f16", "q4", "q8"])
    builder.verify(Path("model"))
    site = builder.build("camera-caption", model="model")
    builder.preview(site.path)

The verbs are loaded when they are first used: importing this package loads no torch, onnx or onnxruntime.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from builder.errors import BuilderError
from builder.versions import BUILDER

if TYPE_CHECKING:
    from builder.bench import bench
    from builder.bench._profile import profile
    from builder.demo import demo
    from builder.doctor import doctor
    from builder.export import export
    from builder.export.lint import check
    from builder.fallback import fallback
    from builder.index import index
    from builder.preview import preview
    from builder.publishing import publish, status, unpublish
    from builder.quantize import quantize
    from builder.site import build
    from builder.verify import verify

__version__ = BUILDER
__all__ = [
    "BuilderError",
    "__version__",
    "bench",
    "build",
    "check",
    "demo",
    "doctor",
    "export",
    "fallback",
    "index",
    "preview",
    "profile",
    "publish",
    "quantize",
    "status",
    "unpublish",
    "verify",
]

_VERBS = {
    "bench": "builder.bench",
    "build": "builder.site",
    "check": "builder.export.lint",
    "demo": "builder.demo",
    "doctor": "builder.doctor",
    "export": "builder.export",
    "fallback": "builder.fallback",
    "index": "builder.index",
    "preview": "builder.preview",
    "profile": "builder.bench._profile",
    "publish": "builder.publishing",
    "quantize": "builder.quantize",
    "status": "builder.publishing",
    "unpublish": "builder.publishing",
    "verify": "builder.verify",
}


class _Package(ModuleType):
    """Keeps ``builder.export`` the function: importing the subpackage would put the module in its place."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _VERBS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> object:
    if name not in _VERBS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    verb = getattr(importlib.import_module(_VERBS[name]), name)
    globals()[name] = verb
    return verb


sys.modules[__name__].__class__ = _Package

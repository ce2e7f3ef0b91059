"""Every version of somebody else's thing that the browser or a Space must match.

The npm versions are decided by web_template/package.json and its lock file; a test holds these to it.
"""

from __future__ import annotations

BUILDER = "0.1.0"
"""This package; the build reads it from here."""
GENERATOR = f"webgpu-demo-builder {BUILDER}"
"""Who made a site, as its manifest.json says."""
TRANSFORMERS_JS = "4.3.1"
"""@huggingface/transformers, the browser runtime."""
ONNXRUNTIME_WEB = "1.31.0-dev.20260914-8d85527a0"
"""onnxruntime-web, as transformers.js pins it."""
GRADIO = "6.31.0"
"""gradio, as the fallback's Space runs it."""


def builder_version() -> str:
    """Version that a model's manifest records as its maker's."""
    return BUILDER

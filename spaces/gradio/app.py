"""The fallback: the page's own ONNX files on a server, for browsers that cannot run them.

Run it with `python app.py`. The model is the folder MODEL_DIR, or what MODEL_REPO holds at the commit MODEL_REVISION.
Read interface.py next.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Find the model, and serve it until the process is ended."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import zerogpu  # noqa: F401  # before everything that might touch a GPU
    from webmodel import ModelError, find_model

    try:
        model = find_model(os.environ)
        from interface import build, serve  # Gradio takes seconds; that there is no model is said before

        serve(build(model))
    except ModelError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

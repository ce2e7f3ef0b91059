"""fallback: the server for visitors whose browser cannot run the model, on this machine or in a container.

Start with `fallback`, which runs spaces/gradio/app.py on a web model folder, or `write_container`, which writes a
folder for `docker build`. The app is a program of its own: nothing here imports it.
"""

from builder.fallback.container import Container, write_container
from builder.fallback.local import fallback, running_app

__all__ = ["Container", "fallback", "running_app", "write_container"]

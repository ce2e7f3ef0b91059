"""What comes in: pictures, with decoding that looks before it reads and never fetches anything, and conversations.

A picture comes as a ``data:`` address inside the request, which is what the static page sends and leaves nothing on
disk, or as a file that was uploaded before, which is what this app's own page does.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from captions import Turn
from gradio.data_classes import ListFiles
from gradio.utils import get_upload_folder
from pictures import MAX_BYTES, PictureError, read_picture
from PIL import Image

DATA = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
MOST_PICTURES = 32
MOST_TURNS, LONGEST_TURN = 32, 4000


class InputError(Exception):
    """What was sent is refused; the message is for the visitor."""


def picture_input() -> gr.Image:
    """An input that hands over one picture as RGB, upright, or None."""
    component = gr.Image(label="Picture", sources=["upload", "webcam", "clipboard"], type="pil")
    # Not a class of its own: Gradio writes a .pyi file beside every module that derives a component.
    component.preprocess = _read_one  # type: ignore[method-assign]
    return component


def pictures_input() -> gr.File:
    """An input that hands over uploaded pictures as (name, file), to be read one after the other."""
    component = gr.File(label="Pictures", file_count="multiple", file_types=["image"])
    component.preprocess = _find_all  # type: ignore[method-assign]
    return component


def _read_one(payload: Any) -> Image.Image | None:
    if payload is None:
        return None
    try:
        return read_picture(picture_bytes(payload.url, payload.path))
    except PictureError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _find_all(payload: Any) -> list[tuple[str, Path]]:
    files: Sequence[Any] = payload.root if isinstance(payload, ListFiles) else [payload] if payload else []
    if len(files) > MOST_PICTURES:
        raise gr.Error(f"At most {MOST_PICTURES} pictures can be searched at a time.", print_exception=False)
    try:
        return [(file.orig_name or Path(file.path).name, uploaded(file.path)) for file in files]
    except PictureError as error:
        raise gr.Error(str(error), print_exception=False) from error


def read_turns(value: Any) -> list[Turn]:
    """Questions and answers, oldest first, of a list of objects; nothing is an empty list.

    Raises:
        InputError: it is something else, or too long.
    """
    if not value:
        return []
    if not isinstance(value, list) or len(value) > MOST_TURNS:
        raise InputError(f"A conversation is a list of at most {MOST_TURNS} questions and answers.")
    turns = []
    for entry in value:
        texts = (entry.get("question"), entry.get("answer")) if isinstance(entry, dict) else (None, None)
        if not all(isinstance(text, str) and len(text) <= LONGEST_TURN for text in texts):
            raise InputError(f"Each turn has a question and an answer of at most {LONGEST_TURN} characters.")
        turns.append(Turn(question=str(texts[0]), answer=str(texts[1])))
    return turns


def picture_of_address(address: str) -> Image.Image:
    """A picture that comes as a ``data:`` address.

    Raises:
        PictureError: it is none.
    """
    return read_picture(picture_bytes(address, None))


def picture_bytes(url: str | None, path: str | None) -> bytes:
    """What was sent: the contents of a data address, or of an uploaded file.

    Raises:
        PictureError: it is neither, or too large.
    """
    if url and (start := DATA.match(url)):
        if len(url) > MAX_BYTES * 4 // 3 + 100:
            raise PictureError(f"The picture has more than {MAX_BYTES // 1_000_000} MB. Send a smaller one.")
        try:
            return base64.b64decode(url[start.end() :], validate=True)
        except binascii.Error as error:
            raise PictureError("The picture's data address is damaged.") from error
    if not path:
        raise PictureError("A picture must be sent itself; addresses are not fetched.")
    return uploaded(path).read_bytes()


def uploaded(path: str) -> Path:
    """A file in the upload folder, of a size that may be read.

    Raises:
        PictureError: it lies elsewhere, is gone, or is too large.
    """
    found = Path(path).resolve()
    if not found.is_relative_to(Path(get_upload_folder()).resolve()):
        raise PictureError("A picture must be sent itself; paths are not opened.")
    if not found.is_file():
        raise PictureError("The picture is not here any more. Upload it again.")
    if found.stat().st_size > MAX_BYTES:
        raise PictureError(f"The picture has more than {MAX_BYTES // 1_000_000} MB. Send a smaller one.")
    return found

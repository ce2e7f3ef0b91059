"""The app's page and its endpoints, and how they are served.

Start with `build` and `serve`. A captioner has /caption and /answer, which stream, a dual encoder /embed_image,
/embed_text, /embed (many at once, for the static page) and /search; both have /health. No picture is kept, logged or
flagged.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from captions import Captioner, QuestionError, Turn
from gradio.utils import get_upload_folder
from guard import Guard
from inputs import InputError, picture_input, picture_of_address, pictures_input, read_turns
from pictures import MAX_BYTES, PictureError, fit_picture, read_picture
from PIL import Image
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from vectors import Searcher
from webmodel import WebModel

WAITING = 16
"""Calls that may wait for their turn; whoever comes then is told that the app is busy."""
SESSIONS = 64
"""Visitors whose last inputs Gradio remembers, for as long as they are among the latest."""
KEPT_SECONDS = 600
LONGEST_QUESTION = 2000
LONGEST_ANSWER = 512
AT_ONCE = 32
"""Pictures and texts that one call of /embed may bring."""
DIGITS = 7
"""A number of a unit vector in float32 has no more; JSON would write 17."""
MODEL = {"concurrency_limit": 1, "concurrency_id": "model"}
"""One call at a time uses the model: it has all processors to itself."""
FONTS = ["system-ui", "sans-serif"]
CODE_FONTS = ["ui-monospace", "monospace"]
PRIVACY = "Pictures are sent to this server, answered about, and deleted within minutes. None is kept or looked at."


def build(model: WebModel) -> gr.Blocks:
    """The page and its endpoints; the model is loaded here."""
    with gr.Blocks(title=model.name, analytics_enabled=False, delete_cache=(60, KEPT_SECONDS)) as page:
        gr.Markdown(f"# {model.name.replace('#', '')}\n{PRIVACY}")
        if model.is_captioner:
            _captions(model)
        else:
            _search(model)

        def health() -> dict[str, Any]:
            """Say which model answers here, in which dtypes, and from which commit."""
            facts = {"name": model.name, "task": model.manifest["task"], "revision": model.revision}
            return {"status": "ok", **facts, "dtypes": model.dtypes, "image": model.manifest["image"]}

        gr.api(health, api_name="health", queue=False)
    page.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)
    return page


def serve(page: gr.Blocks) -> None:
    """Launch the app; Gradio reads the port and the address to listen on from the environment."""
    guards = [Middleware(Guard, largest=MAX_BYTES * 4 // 3 + 100_000, uploads=Path(get_upload_folder()))]
    if not (os.environ.get("GRADIO_SERVER_NAME") or os.environ.get("SPACE_ID")):
        # It listens on this machine only, and answers to no other name.
        guards.insert(0, Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]))
    page.launch(
        share=False,
        quiet=True,
        show_error=False,
        run_history=False,
        footer_links=["api"],
        app_kwargs={"middleware": guards},
        state_session_capacity=SESSIONS,
        max_file_size=MAX_BYTES,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Default(font=FONTS, font_mono=CODE_FONTS),
    )


def _captions(model: WebModel) -> None:
    captioner = Captioner(model)
    facts = model.manifest["image"]
    usual = int((model.manifest.get("generation") or {}).get("max_new_tokens", 64))
    prompts = {entry["label"]: entry["text"] for entry in model.manifest.get("prompts", ())}
    prompts = prompts or {"Describe": "Describe the picture."}

    def stream(
        picture: Image.Image | None, question: str, longest: int, history: Sequence[Turn] = ()
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        if picture is None:
            raise _error("There is no picture. Upload one, or take one with the camera.")
        started, first = time.monotonic(), 0.0
        try:
            for written in captioner.answer(fit_picture(picture, facts), question, longest, history):
                now = 1000 * (time.monotonic() - started)
                first = first or now
                figures = {"tokens": written.tokens, "first_token_ms": round(first), "total_ms": round(now)}
                yield written.text, figures
        except QuestionError as error:
            raise _error(str(error)) from error

    def caption(picture: Image.Image | None, prompt: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Describe a picture as one of the model's own prompts asks; streams the text, and figures beside it."""
        yield from stream(picture, prompt, usual)

    def answer(
        picture: Image.Image | None, question: str, max_new_tokens: float, history: Any
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Answer a question about a picture; streams the text, and figures beside it.

        ``history`` is what was asked and answered about this picture before, oldest first, as objects of `question` and
        `answer`: nothing of it is kept here, so a client that wants to follow up sends it.
        """
        question = (question or "").strip()
        if not question:
            raise _error("There is no question.")
        if len(question) > LONGEST_QUESTION:
            raise _error(f"A question may have {LONGEST_QUESTION} characters.")
        try:
            turns = read_turns(history)
        except InputError as error:
            raise _error(str(error)) from error
        yield from stream(picture, question, _length(max_new_tokens, usual), turns)

    def add_turn(history: Any, question: str, said: str) -> list[dict[str, str]]:
        return [*(history or []), {"question": question, "answer": said}]

    with gr.Row():
        with gr.Column():
            picture = picture_input()
            prompt = gr.Radio(list(prompts.items()), value=next(iter(prompts.values())), label="What to write")
            describe = gr.Button("Write", variant="primary")
            question = gr.Textbox(label="Your own question", max_lines=3)
            longest = gr.Slider(1, LONGEST_ANSWER, value=usual, step=1, label="Longest answer, in tokens")
            ask = gr.Button("Ask")
        with gr.Column():
            text = gr.Textbox(label="Answer", lines=6, interactive=False, buttons=["copy"])
            stop = gr.Button("Stop")
            with gr.Accordion("Asked before: the next question follows up on it", open=False):
                history = gr.JSON(value=[], label="Questions and answers")
                anew = gr.Button("Begin anew")
            with gr.Accordion("Figures", open=False):
                figures = gr.JSON(label="Figures")
    described = describe.click(caption, [picture, prompt], [text, figures], api_name="caption", **MODEL)
    inputs = [picture, question, longest, history]
    asked = gr.on([ask.click, question.submit], answer, inputs, [text, figures], api_name="answer", **MODEL)
    stop.click(None, cancels=[described, asked], api_visibility="private")
    asked.success(add_turn, [history, question, text], history, queue=False, api_visibility="private")
    gr.on([picture.change, anew.click], list, None, history, queue=False, api_visibility="private")


def _search(model: WebModel) -> None:
    searcher = Searcher(model)
    facts = model.manifest["image"]

    def embed_image(picture: Image.Image | None) -> list[float]:
        """The unit vector of a picture."""
        if picture is None:
            raise _error("There is no picture. Upload one, or take one with the camera.")
        return [float(value) for value in searcher.picture(fit_picture(picture, facts))]

    def embed_text(text: str) -> list[float]:
        """The unit vector of a text; its product with a picture's is their cosine."""
        return [float(value) for value in searcher.text(_checked(text))]

    def embed(pictures: list[str], texts: list[str]) -> list[list[float]]:
        """Unit vectors of pictures, each a data: address, and then of texts."""
        if len(pictures) + len(texts) > AT_ONCE:
            raise _error(f"At most {AT_ONCE} pictures and texts can be sent at a time.")
        try:
            fitted = [fit_picture(picture_of_address(address), facts) for address in pictures]
        except PictureError as error:
            raise _error(str(error)) from error
        checked = [_checked(text) for text in texts]
        return [[round(float(value), DIGITS) for value in vector] for vector in searcher.vectors(fitted, checked)]

    def search(query: str, pictures: list[tuple[str, Any]]) -> list[list[Any]]:
        """Pictures by their cosine to a text: rows of place, name and cosine, best first."""
        wanted = searcher.text(_checked(query))
        if not pictures:
            raise _error("There are no pictures to search.")
        found = []
        for name, path in pictures:
            try:
                pixels = fit_picture(read_picture(path.read_bytes()), facts)
            except PictureError as error:
                raise _error(f"{name}: {error}") from error
            found.append((float(wanted @ searcher.picture(pixels)), name))
        found.sort(key=lambda hit: -hit[0])
        return [[place, name, round(cosine, 4)] for place, (cosine, name) in enumerate(found, 1)]

    with gr.Tab("Search"), gr.Row():
        with gr.Column():
            query = gr.Textbox(label="What to look for", max_lines=3)
            pictures = pictures_input()
            find = gr.Button("Search", variant="primary")
        headers = ["place", "picture", "cosine"]
        hits = gr.Dataframe(
            headers=headers, datatype=["number", "str", "number"], label="Best first", interactive=False
        )
    with gr.Tab("Vectors"):
        with gr.Row():
            picture = picture_input()
            text = gr.Textbox(label="Text", max_lines=3)
        with gr.Row():
            of_picture, of_text = gr.Button("Vector of the picture"), gr.Button("Vector of the text")
        vector = gr.JSON(label="Unit vector")
    gr.on([find.click, query.submit], search, [query, pictures], hits, api_name="search", **MODEL)
    of_picture.click(embed_image, picture, vector, api_name="embed_image", **MODEL)
    of_text.click(embed_text, text, vector, api_name="embed_text", **MODEL)
    gr.api(embed, api_name="embed", **MODEL)


def _checked(text: str) -> str:
    text = (text or "").strip()
    if not text:
        raise _error("There is no text.")
    if len(text) > LONGEST_QUESTION:
        raise _error(f"A text may have {LONGEST_QUESTION} characters.")
    return text


def _length(asked: Any, usual: int) -> int:
    """How many tokens an answer may have: what was asked for, if it is a number."""
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not math.isfinite(asked) or asked == 0:
        return usual
    return max(1, min(int(asked), LONGEST_ANSWER))


def _error(message: str) -> gr.Error:
    """For the visitor; nothing of it is printed."""
    return gr.Error(message, print_exception=False)

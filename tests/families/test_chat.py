"""Chat templates take a page's strings as well as lists of parts, in Python's Jinja and in transformers.js's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from builder.errors import CheckpointError
from builder.export import export
from builder.families._chat import web_template
from builder.families._tokenizer import read_tokenizer
from builder.manifest import read_manifest
from tests.checkpoints import CASES
from tests.checkpoints._case import CHAT_ML, tiny_tokenizer
from tests.checkpoints.llava import QWEN2_TEMPLATE, VICUNA_TEMPLATE, save_tokenizer

WEB_TEMPLATE = Path(__file__).parents[2] / "web_template"
QUESTION = "how many cups ?"
PARTS = [{"type": "image"}, {"type": "text", "text": QUESTION}]
STRING = f"<image>\n{QUESTION}"


def one_turn(content: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def conversation(*, as_parts: bool) -> list[dict[str, Any]]:
    """Two turns, the first with a picture."""
    if not as_parts:
        contents: list[Any] = [STRING, "two\nred ones", "and balls ?"]
    else:
        contents = [PARTS, *([{"type": "text", "text": text}] for text in ("two\nred ones", "and balls ?"))]
    return [
        {"role": role, "content": content}
        for role, content in zip(("user", "assistant", "user"), contents, strict=True)
    ]


def render(template: str, messages: list[dict[str, Any]]) -> str:
    rendered: Any = render_jinja_template(conversations=[messages], chat_template=template, add_generation_prompt=True)
    return str(rendered[0][0])


def web_template_of(folder: Path, template: str | None, *, special: tuple[str, ...] = ("<image>",)) -> str:
    """The web model's template of a checkpoint with ``template``."""
    save_tokenizer(folder, special)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return web_template(folder, read_tokenizer(folder), image_token="<image>", fallback=CHAT_ML)


@pytest.mark.parametrize("template", [VICUNA_TEMPLATE, QWEN2_TEMPLATE, "\n\n" + QWEN2_TEMPLATE])
def test_template_of_lists_renders_strings_as_it_renders_lists(template: str, tmp_path: Path) -> None:
    made = web_template_of(tmp_path, template)
    wanted = render(template, conversation(as_parts=True))
    assert QUESTION in wanted
    assert "two\nred ones" in wanted
    assert render(made, conversation(as_parts=True)) == wanted
    assert render(made, conversation(as_parts=False)) == wanted
    mixed = [conversation(as_parts=True)[0], *conversation(as_parts=False)[1:]]
    assert render(made, mixed) == wanted


def test_template_of_lists_renders_a_string_with_two_pictures(tmp_path: Path) -> None:
    made = web_template_of(tmp_path, QWEN2_TEMPLATE)
    prompt = render(made, one_turn("<image>\n<image>compare"))
    assert prompt == "<|im_start|>user <image><image>\ncompare<|im_end|><|im_start|>assistant\n"


def test_template_that_takes_strings_stays_as_it_is(tmp_path: Path) -> None:
    assert web_template_of(tmp_path, CHAT_ML) == CHAT_ML


def test_checkpoint_without_template_gets_the_fallback(tmp_path: Path) -> None:
    assert web_template_of(tmp_path, None) == CHAT_ML


def test_default_is_taken_of_several_templates(tmp_path: Path) -> None:
    save_tokenizer(
        tmp_path,
        ("<image>",),
        chat_template=[{"name": "tool_use", "template": "no"}, {"name": "default", "template": CHAT_ML + " "}],
    )
    made = web_template(tmp_path, read_tokenizer(tmp_path), image_token="<image>", fallback=CHAT_ML)
    assert made == CHAT_ML + " "


def test_start_token_of_the_tokenizer_is_put_in_front_once(tmp_path: Path) -> None:
    made = web_template_of(tmp_path, VICUNA_TEMPLATE, special=("<s>", "<image>"))
    prompt = render(made, one_turn(STRING))
    assert prompt == f"<s>USER: <image>\n{QUESTION} ASSISTANT:"
    assert render(made, one_turn(PARTS)) == prompt


def test_start_token_that_the_template_writes_is_not_doubled(tmp_path: Path) -> None:
    template = "{{ bos_token }}" + CHAT_ML
    save_tokenizer(tmp_path, ("<s>", "<image>"), bos_token={"__type": "AddedToken", "content": "<s>"})
    (tmp_path / "chat_template.jinja").write_text(template, encoding="utf-8")
    assert web_template(tmp_path, read_tokenizer(tmp_path), image_token="<image>", fallback="") == template


@pytest.mark.parametrize(
    "template",
    [
        "{% for message in messages %}{{ message['role'] }}{% endfor %}",
        "{% for message in messages %}{{ message['content'].split('>')[1] }}{% endfor %}",
        "{% for message in messages %}{{ message['content'] ",
        "{{ raise_exception('no') }}",
        "{{ 1 / 0 }}",
        "{% for number in range(10**9) %}{% endfor %}",
    ],
    ids=["no question", "no picture", "no Jinja", "refuses", "divides by zero", "counts for ever"],
)
def test_template_that_loses_question_or_picture_is_refused(template: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="chat template that loses") as caught:
        web_template_of(tmp_path, template)
    assert "chat_template.jinja" in caught.value.hint


def test_template_that_fails_is_refused_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="ZeroDivisionError: division by zero"):
        web_template_of(tmp_path, "{{ 1 / 0 }}")


def test_template_that_is_no_text_is_refused(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, ("<image>",))
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match=r"chat_template\.jinja is not UTF-8"):
        web_template(tmp_path, read_tokenizer(tmp_path), image_token="<image>", fallback=CHAT_ML)


def read_prompts(node: str, folder: Path, chats: list[Any]) -> list[dict[str, Any]]:
    """What transformers.js makes of chats about one picture."""
    request = {
        "web_template": str(WEB_TEMPLATE),
        "models": str(folder.parent),
        "name": folder.name,
        "size": read_manifest(folder).image.width,
        "chats": chats,
    }
    command = [node, str(Path(__file__).with_name("read_prompts.mjs")), json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llava-v4-clip-llama-shards", "llava-onevision", "fastvlm-transformers"])
def test_transformers_js_renders_both_styles_as_transformers_does(name: str, node: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    CASES[name].make(checkpoint)
    folder = export(str(checkpoint), out=tmp_path / "web").path
    chats = [one_turn(STRING), one_turn(PARTS), conversation(as_parts=False), conversation(as_parts=True)]
    answers = read_prompts(node, folder, chats)
    assert answers[0] == answers[1]
    assert answers[2] == answers[3]

    file, stored = checkpoint / "chat_template.jinja", checkpoint / "chat_template.json"
    template = file.read_text("utf-8") if file.is_file() else json.loads(stored.read_text("utf-8"))["chat_template"]
    settings = json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))
    size = read_manifest(folder).image.width
    make_tokenizer: Any = PreTrainedTokenizerFast
    make_processor: Any = LlavaProcessor
    processor = make_processor(
        CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size}),
        make_tokenizer(tokenizer_file=str(checkpoint / "tokenizer.json")),
        patch_size=settings["patch_size"],
        vision_feature_select_strategy="full",
        num_additional_image_tokens=settings["num_additional_image_tokens"],
        chat_template=template,
    )
    for chat, answer in ((chats[1], answers[1]), (chats[3], answers[3])):
        prompt = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        ids = processor(images=Image.new("RGB", (size, size)), text=prompt)["input_ids"][0]
        assert answer["input_ids"] == list(ids)
        assert answer["prompt"].removeprefix("<s>") == prompt


def test_tiny_tokenizer_with_a_start_token_puts_it_in_front(tmp_path: Path) -> None:
    """Without this the tests of start tokens would prove nothing."""
    save_tokenizer(tmp_path, ("<s>", "<image>"))
    tokenizer = read_tokenizer(tmp_path)
    assert tokenizer.encode("cup").tokens[0] == "<s>"
    assert tiny_tokenizer(("<s>",)).encode("cup").tokens[0] != "<s>"

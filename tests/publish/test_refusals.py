"""What publish does not do: go without a token, take a secret or a link along, or write over somebody's work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import PublishError
from builder.manifest import FileEntry, file_entry
from builder.publish.files import from_folder, from_text
from builder.publish.secret_scan import scan
from tests.publish.conftest import MODEL, SPACE, TOKEN, Publisher

SECRETS = {
    "a Hugging Face token": "hf_" + "a1B2" * 9,
    "a private key": "-----BEGIN RSA PRIVATE KEY-----",
    "an AWS access key": "AKIA" + "ABCD1234" * 2,
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "an API key": "sk-proj-" + "a1B2" * 9,
    "a Google API key": "AIza" + "a1B2c3D" * 5,
}


def test_without_a_token_it_is_said_what_to_run(publisher: Publisher) -> None:
    got = publisher.publish("--space", SPACE, token=None)
    assert got.code == 1
    assert "this machine has none" in got.said
    assert "hf auth login" in got.said
    assert "fine-grained" in got.said
    assert publisher.hub.written == {}


@pytest.mark.parametrize("token", ["hf_wrongWrongWrongWrongWrong", "hf_two words of a token", "nothing like one"])
def test_token_that_is_none_is_refused_without_being_shown(publisher: Publisher, token: str) -> None:
    got = publisher.publish("--space", SPACE, token=token)
    assert got.code == 1
    assert "token" in got.said


def test_space_of_somebody_is_not_written_over(publisher: Publisher) -> None:
    publisher.hub.create("space", SPACE, sdk="static")
    publisher.hub.write("space", SPACE, {"index.html": b"my page"})
    got = publisher.publish("--space", SPACE, "--fallback", "none")
    assert "exists and holds other things: index.html" in got.said
    assert ("model", MODEL) not in publisher.hub.written
    publisher.hub.create("space", "ada/app", sdk="gradio")
    assert "ada/app is a gradio Space" in publisher.publish("--space", "ada/app", "--fallback", "none").said


def test_space_that_more_people_can_open_than_was_asked_for_is_refused(publisher: Publisher) -> None:
    publisher.hub.create("space", SPACE, sdk="static")
    got = publisher.publish("--space", SPACE, "--private")
    assert f"{SPACE} is public, and is to be private" in got.said
    publisher.hub.create("model", MODEL)
    publisher.hub.written["model", MODEL].private = True
    got = publisher.publish("--space", SPACE, "--fallback", "none")
    assert f"{MODEL} is private, and is to be public" in got.said
    publisher.hub.written["model", MODEL].private = False
    publisher.hub.written["model", MODEL].gated = True
    got = publisher.publish("--space", SPACE, "--fallback", "none")
    assert f"{MODEL} is gated, and the visitors of a page cannot accept its terms" in got.said
    assert len(publisher.commits("space", SPACE)) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "where it is to be published is not named"),
        (["--space", "eve/captions"], "the account ada is not in eve"),
        (["--space", "ada/-x"], "is no name for a repository"),
        (["--space", SPACE, "--fallback", "zero-a10"], "'zero-a10' is no fallback"),
        (["--space", SPACE, "--fallback", "http://example.org"], "is no fallback"),
    ],
)
def test_wrong_options_are_named_before_anything_is_written(
    publisher: Publisher, arguments: list[str], words: str
) -> None:
    got = publisher.publish(*arguments)
    assert got.code == 1
    assert words in got.said
    assert publisher.hub.written == {}


def test_secret_in_a_model_stops_everything_with_file_and_line(publisher: Publisher) -> None:
    config = publisher.model / "config.json"
    config.write_text('{\n "model_type": "tiny",\n "key": "' + SECRETS["an AWS access key"] + '"\n}', encoding="utf-8")
    path = publisher.model / "manifest.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    entry = file_entry(publisher.model, "config.json")
    raw["files"] = [vars(entry) if item["path"] == "config.json" else item for item in raw["files"]]
    path.write_text(json.dumps(raw), encoding="utf-8")
    got = publisher.publish("--space", SPACE)
    assert got.code == 1
    assert "config.json:3 holds an AWS access key" in got.said
    assert SECRETS["an AWS access key"] not in got.said
    assert publisher.hub.written == {}


@pytest.mark.parametrize("kind", SECRETS)
def test_scan_finds_each_kind_of_secret(kind: str) -> None:
    with pytest.raises(PublishError, match=rf"notes\.txt:2 holds {kind}") as caught:
        scan([from_text("notes.txt", f"one\nkey = '{SECRETS[kind]}'\n")])
    assert SECRETS[kind] not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("name", [".env", "keys/server.pem", "id_rsa", ".netrc", ".env.local"])
def test_scan_refuses_files_of_secrets_by_name(name: str) -> None:
    with pytest.raises(PublishError, match="file of secrets"):
        scan([from_text(name, "nothing in it")])


def test_scan_finds_this_machines_token_in_binary_files_too(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"\0" * 100_000 + TOKEN.encode() + b"\0")
    file = from_folder(tmp_path, [file_entry(tmp_path, "graph.onnx")])
    with pytest.raises(PublishError, match=r"graph\.onnx holds this machine's Hub token"):
        scan(file, token=TOKEN)
    scan(file, token="hf_" + "AnotherOne" * 4)


def test_links_and_changed_files_are_refused_by_name(tmp_path: Path) -> None:
    outside = tmp_path / "secret.txt"
    outside.write_text("mine", encoding="utf-8")
    root = tmp_path / "site"
    (root / "app").mkdir(parents=True)
    (root / "a.js").write_text("one", encoding="utf-8")
    good = file_entry(root, "a.js")
    (root / "link.txt").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path)
    entries = [
        replace(file_entry(root, "link.txt"), path="link.txt"),
        FileEntry(path="folder/secret.txt", size_bytes=4, sha256=file_entry(tmp_path, "secret.txt").sha256),
        FileEntry(path="../secret.txt", size_bytes=4, sha256=good.sha256),
        FileEntry(path="missing.js", size_bytes=4, sha256=good.sha256),
        replace(good, sha256="0" * 64),
    ]
    with pytest.raises(PublishError) as caught:
        from_folder(root, entries)
    for words in ("link.txt is a link", "behind the link folder", "leads out", "is missing", "not what its manifest"):
        assert words in caught.value.message
    assert [file.path for file in from_folder(root, [good])] == ["a.js"]

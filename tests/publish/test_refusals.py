"""What publish does not do: go without a token, take a secret or a link along, or write over somebody's work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from builder.embedded import NAMES, model_dir
from builder.errors import PublishError
from builder.manifest import FileEntry, file_entry
from builder.paths import web_template
from builder.publish.files import from_bytes, from_folder, from_text
from builder.publish.secret_scan import CHUNK, scan
from tests.hub.conftest import small_checkpoint
from tests.publish.conftest import MODEL, SPACE, TOKEN, Publisher

SECRETS = {
    "a Hugging Face token": "hf_" + "a1B2" * 9,
    "a private key": "-----BEGIN RSA PRIVATE KEY-----",
    "an AWS access key": "AKIA" + "ABCD1234" * 2,
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "an API key": "sk-proj-" + "a1B2" * 9,
    "a Google API key": "AIza" + "a1B2c3D" * 5,
    "an AWS secret": 'aws_secret_access_key = "' + "a1B2/" * 8 + '"',
    "an Azure key": "AccountKey=" + "a1B2" * 20 + "==",
    "a Stripe key": "sk_live_" + "a1B2" * 6,
    "a JSON Web Token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "a1B2" * 10,
    "a password in an address": "https://ada:" + "a1B2c3@example.org/x",
}
OTHERS = {
    "an AWS secret": "secretAccessKey: '" + "a1B2/" * 8,
    "a GitHub token": "ghr_" + "a1B2" * 9,
    "a Hugging Face token": "api_org_" + "a1B2" * 9,
    "a private key": "-----BEGIN PGP PRIVATE KEY BLOCK-----",
}
INNOCENT = (
    "https://user:password@host/, https://host:8080/@x, http://{user}:{key}@host",
    "aws_secret_access_key = os.environ['AWS_SECRET_ACCESS_KEY']",
    "hf_raise_for_status sk-learn AKIA eyJ. .eyJ -----BEGIN CERTIFICATE-----",
)


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
        (["--space", "eve/captions"], "may not do that: creating eve/tiny-vlm-ONNX"),
        (["--space", SPACE, "--private", "--model-repo", MODEL], "a private page carries its model itself"),
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


@pytest.mark.parametrize(("kind", "secret"), [*SECRETS.items(), *OTHERS.items()])
def test_scan_finds_each_kind_of_secret_in_text_of_any_width_and_in_binary_files(kind: str, secret: str) -> None:
    text = f"one\nkey = '{secret}'\n"
    for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-16-be"):
        with pytest.raises(PublishError, match=rf"notes\.txt:2 holds {kind}") as caught:
            scan([from_bytes("notes.txt", text.encode(encoding))])
        assert secret not in caught.value.message + caught.value.hint
    with pytest.raises(PublishError, match=rf"graph\.onnx holds {kind}"):
        scan([from_bytes("graph.onnx", bytes(CHUNK - 30) + text.encode() + bytes(9))])


@pytest.mark.parametrize("text", INNOCENT)
def test_scan_lets_words_pass_that_only_resemble_secrets(text: str) -> None:
    scan([from_text("notes.txt", text)])


def test_scan_lets_everything_pass_that_is_published_of_this_tool() -> None:
    root = web_template()
    shipped = [path for path in root.rglob("*") if path.is_file() and "node_modules" not in path.parts]
    models = [path for name in NAMES for path in model_dir(name).rglob("*") if path.is_file()]
    scan(from_bytes(path.name, path.read_bytes()) for path in [*shipped, *models])


@pytest.mark.parametrize("name", [".env", "keys/server.pem", "id_rsa", ".netrc", ".env.local"])
def test_scan_refuses_files_of_secrets_by_name(name: str) -> None:
    with pytest.raises(PublishError, match="file of secrets"):
        scan([from_text(name, "nothing in it")])


def test_scan_finds_this_machines_token_in_binary_files_too(tmp_path: Path) -> None:
    odd = "an-odd:token/of+some~proxy"
    (tmp_path / "graph.onnx").write_bytes(b"\0" * 100_000 + odd.encode() + b"\0")
    file = from_folder(tmp_path, [file_entry(tmp_path, "graph.onnx")])
    with pytest.raises(PublishError, match=r"graph\.onnx holds this machine's Hub token"):
        scan(file, token=odd)
    scan(file, token=TOKEN)


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


def test_checkpoint_of_no_family_is_refused_before_its_weights_are_fetched(
    publisher: Publisher, tmp_path: Path
) -> None:
    checkpoint = small_checkpoint(tmp_path / "florence")
    (checkpoint / "config.json").write_text('{"model_type": "florence2"}', encoding="utf-8")
    publisher.hub.add("somebody/florence", checkpoint)
    outcome = publisher.run("publish", "camera-caption", "--model", "somebody/florence", "--space", SPACE)
    assert not outcome.done
    assert "somebody/florence is of no supported family" in outcome.said
    assert not [path for path in publisher.hub.fetched() if path.endswith(".safetensors")]

"""What a run takes from the one before and from a site, and what it does not; what passes by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi

from builder.errors import PublishError
from builder.publish.problems import explain, is_bug, is_passing
from builder.publish.remembered import Publication, read_all, remember
from builder.publish.session import Session, open_session
from builder.publishing.ledger import open_ledger
from builder.publishing.prepare import page_of, prepare
from builder.publishing.removal import unpublish
from builder.publishing.request import Options, Request, default_model_repo, remembered, resolve
from builder.publishing.to_folder import find_copy, publish_to_folder
from builder.site import build

SPACE = "ada/page"
MakeModel = Callable[..., Path]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def choose(here: Path, **given: object) -> Request:
    """What a run in this folder would do; nobody is asked for that."""
    session = Session(
        api=HfApi(endpoint="http://127.0.0.1:9", token=False), token="", account="ada", owners=("ada",),
        report=lambda line: None,
    )  # fmt: skip
    options = Options(**given)  # type: ignore[arg-type]
    return resolve(options, remembered(options, here), session)


def run(here: Path, model: Path, **given: object) -> Request:
    """Choose, and note it as a run does."""
    request = choose(here, model=str(model), **given)
    ready = prepare(request.page, request.model, lambda line: None)
    open_ledger(here, request, ready, request.model_repo or default_model_repo(request, ready.manifest.name))
    return request


def test_repository_goes_by_the_models_name_unless_it_was_named(here: Path, make_model: MakeModel) -> None:
    one, other = make_model("one-vlm"), make_model("other-vlm")
    run(here, one, page="camera-caption", space=SPACE)
    assert read_all(here)[SPACE].model_repo == "ada/one-vlm-ONNX"
    run(here, other)
    assert read_all(here)[SPACE].model_repo == "ada/other-vlm-ONNX", "another model went where the first one lies"
    run(here, other, model_repo="ada/mine")
    run(here, one)
    assert read_all(here)[SPACE].model_repo == "ada/mine"


def test_site_of_another_page_takes_neither_the_space_nor_the_choices(here: Path, make_model: MakeModel) -> None:
    caption = make_model("one-vlm")
    search = make_model("one-clip", "zero-shot-image-classification")
    run(here, caption, page="camera-caption", space=SPACE, title="Captions", fallback="none")
    site = build("photo-search", model=search, out=here / "site").path
    assert page_of(str(site)) == "photo-search"
    with pytest.raises(PublishError, match="where it is to be published is not named"):
        choose(here, page=str(site))
    taken = choose(here, page=str(site), space=SPACE)
    assert (taken.model, taken.title, taken.fallback) == (None, None, "auto")


def test_title_of_a_site_built_anew_is_taken_and_one_that_was_named_stays(here: Path, make_model: MakeModel) -> None:
    model = make_model("one-vlm")
    runs = [(None, "One", "One"), (None, "Two", "Two"), ("Named", "Two", "Named"), (None, "Three", "Named")]
    for given, built, expected in runs:
        build("camera-caption", model=model, out=here / "site", title=built)
        options = Options(page="site", title=given)
        copy = find_copy(options, Path("public"), here)
        publish_to_folder(options, Path("public"), copy, here=here, dry_run=False, agree=None, say=lambda line: None)
        assert f"<title>{expected}</title>" in (here / "public" / "index.html").read_text(encoding="utf-8")


def test_site_keeps_its_server_and_a_named_one_comes_first(here: Path, make_model: MakeModel) -> None:
    model = make_model("one-vlm")
    build("camera-caption", model=model, out=here / "site", server="https://answers.example/")
    assert prepare("site", None, lambda line: None).server == "https://answers.example/"
    for fallback, expected in ((None, '"url": "https://answers.example/"'), ("none", '"server": null')):
        publish_to_folder(
            Options(page="site", fallback=fallback), Path("public"), None,
            here=here, dry_run=False, agree=None, say=lambda line: None,
        )  # fmt: skip
        assert expected in (here / "public" / "index.html").read_text(encoding="utf-8")


def test_folder_is_removed_and_forgotten_unless_it_holds_something_else(here: Path, make_model: MakeModel) -> None:
    model = make_model("one-vlm")
    publish_to_folder(
        Options(page="camera-caption", model=str(model)), Path("public"), None,
        here=here, dry_run=False, agree=None, say=lambda line: None,
    )  # fmt: skip
    mine = here / "public" / "CNAME"
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(PublishError, match="files of yours"):
        unpublish("public")
    mine.unlink()
    assert unpublish(dry_run=True).repositories == ("folder public",)
    assert unpublish("./public/").done
    assert not (here / "public").exists()
    assert not (here / ".webgpu-demo.json").exists()


def test_repository_that_could_not_be_made_is_not_noted_as_made(here: Path, make_model: MakeModel) -> None:
    request = replace(choose(here, page="camera-caption", space=SPACE), model=str(make_model("one-vlm")))
    ledger = open_ledger(here, request, prepare(request.page, request.model, lambda line: None), None)
    ledger.note_made(f"space {SPACE}", True)
    assert read_all(here)[SPACE].made == (f"space {SPACE}",), "an interruption would leave it unknown"
    ledger.note_made(f"space {SPACE}", False)
    assert read_all(here)[SPACE].made == ()


def test_file_of_an_earlier_version_is_read(here: Path) -> None:
    entry = vars(Publication(page="camera-caption", space=SPACE))
    old = {name: value for name, value in entry.items() if name not in ("site", "is_repo_named")}
    record = {"format": 1, "published": [{**old, "made": []}]}
    (here / ".webgpu-demo.json").write_text(json.dumps(record), encoding="utf-8")
    remember(here, read_all(here)[SPACE])
    assert read_all(here)[SPACE] == Publication(page="camera-caption", space=SPACE)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (httpx2.ConnectError("connection to 127.0.0.1:44031 refused"), True),
        (ConnectionError("chunk 9f403ac401 was cut off"), True),
        (RuntimeError("HTTP status client error (403 Forbidden) for url (https://cas.example)"), False),
        (ConnectionError("HTTP status client error (401 Unauthorized)"), False),
        (json.JSONDecodeError("Expecting value", "<html>", 0), True),
        (ValueError("bad"), False),
    ],
)
def test_failure_passes_by_its_status_and_not_by_any_number_in_its_text(error: Exception, passes: bool) -> None:
    assert is_passing(error) is passes


def test_answer_that_is_none_of_the_hubs_is_told_from_a_bug_of_ours() -> None:
    odd = json.JSONDecodeError("Expecting value", "<html>", 0)
    assert "does not answer as the Hub does while writing ada/page" in explain(odd, "writing ada/page").message
    with pytest.raises(KeyError) as caught:
        {}["ours"]
    assert is_bug(caught.value)


def test_trusted_publisher_without_an_id_token_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_OIDC_RESOURCE", "ada")
    for name in ("HF_OIDC_ID_TOKEN", "GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PublishError, match="HF_OIDC_RESOURCE is set"), open_session(lambda line: None):
        pass

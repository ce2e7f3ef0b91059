"""--watch: edits reach open pages, what is broken is named with file and line, and the server goes on."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import builder
from builder.errors import PreviewError
from builder.live import LiveSite, LiveSites, live_source
from builder.paths import web_template
from builder.preview import running_server, watch
from builder.preview.watch import describe
from tests.conftest import MakeModel
from tests.preview.conftest import MakeSite

Event = tuple[str, dict[str, object]]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A copy of web_template/ to edit, without what no page is made of."""
    copy = tmp_path / "template"
    shutil.copytree(
        web_template(), copy, ignore=shutil.ignore_patterns("node_modules", "runtime", "screenshots", "preview")
    )
    return copy


@pytest.fixture
def site(tmp_path: Path, make_model: MakeModel) -> Path:
    return builder.build("camera-caption", model=make_model(), out=tmp_path / "site").path


@contextmanager
def watching(
    source: LiveSite | LiveSites, served: Path | None = None
) -> Iterator[tuple[httpx.Client, Callable[[], Event]]]:
    """Serve a watched site; the function returns the next event that an open page hears."""
    with (
        running_server(served or source.sites[0], source=source) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=60) as client,
        client.stream("GET", "/_preview/events") as stream,
    ):
        lines = stream.iter_lines()

        def hear() -> Event:
            name, deadline = "", time.monotonic() + 30
            for line in lines:
                assert time.monotonic() < deadline, "nothing was heard"  # the server sends a line each second
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                if line.startswith("data: "):
                    return name, json.loads(line.removeprefix("data: "))
            raise AssertionError("the server ended")

        assert hear() == ("hello", {"version": 1})
        page = f"/{source.sites[0].name}/" if served else "/"
        while "/_preview/client.js?version=1" not in client.get(page).text:
            pass
        yield client, hear


def test_an_edited_template_is_shown_and_announced(site: Path, template: Path) -> None:
    page = template / "pages/camera-caption/page.html"
    with watching(LiveSite(site, template=template)) as (client, hear):
        page.write_text(page.read_text().replace('aria-label="Picture"', 'aria-label="Edited"'))
        assert hear() == ("reload", {"version": 2})
        html = client.get("/").text
        assert 'aria-label="Edited"' in html
        assert "client.js?version=2" in html
    assert 'aria-label="Edited"' not in (site / "index.html").read_text(), "nothing is written into the site"


def test_an_edited_script_and_style_are_served_from_their_source(site: Path, template: Path) -> None:
    with watching(LiveSite(site, template=template)) as (client, hear):
        for number, name in enumerate(("pages/camera-caption/main.js", "shared/style.css"), 2):
            with (template / name).open("a") as file:
                file.write("\n/* edited */\n")
            assert hear() == ("reload", {"version": number})
            assert client.get(f"/app/{name}").text.endswith("/* edited */\n")


def save(path: Path, text: str) -> None:
    """Save as most editors do: write another file, and put it in the place of the old."""
    part = path.with_name(f".{path.name}.new")
    part.write_text(text)
    part.replace(path)


def wait_until_watched(*folders: Path) -> None:
    """Wait until the system tells this process of changes in the folders (proc_pid_fdinfo(5))."""
    wanted = {f"ino:{folder.stat().st_ino:x}" for folder in folders}
    deadline = time.monotonic() + 30
    while wanted:
        assert time.monotonic() < deadline, f"{wanted} of {folders} are not watched"
        for path in Path("/proc/self/fdinfo").iterdir():
            with contextlib.suppress(OSError):  # closed since it was listed
                wanted -= set(path.read_text().split())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system watches paths, not files")
def test_files_put_in_the_place_of_others_are_seen_at_once_each_time(
    site: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_MS", 600_000)  # the system's messages are all there is
    version = 1
    with watching(LiveSite(site, template=template)) as (client, hear):
        wait_until_watched(template, template / "pages/camera-caption")
        for name in ("base.html", "_macros.html", "sw.js", "pages/camera-caption/page.html"):
            for _ in range(2):
                version += 1
                end = "\n// edited\n" if name == "sw.js" else "\n{# edited #}\n"
                save(template / name, (template / name).read_text() + end)
                assert hear() == ("reload", {"version": version})
        assert client.get("/sw.js").text.endswith("// edited\n")


def test_a_folder_of_sites_is_watched_as_a_whole(site: Path, template: Path, make_model: MakeModel) -> None:
    model = make_model(task="zero-shot-image-classification", folder="model")
    builder.build("photo-search", model=model, out=site.parent / "all/photo-search")
    site.rename(site.parent / "all/camera-caption")
    source = live_source(site.parent / "all", (), template=template)
    assert [folder.name for folder in source.sites] == ["camera-caption", "photo-search"]
    with watching(source, site.parent / "all") as (client, hear):
        page = template / "pages/photo-search/page.html"
        save(page, page.read_text().replace('data-role="empty"', 'data-edited data-role="empty"'))
        assert hear() == ("reload", {"version": 2})
        assert "data-edited" in client.get("/photo-search/").text
        assert "data-edited" not in client.get("/camera-caption/").text
        save(template / "shared/style.css", "/* edited */")
        assert hear() == ("reload", {"version": 3})
        for name in ("photo-search", "camera-caption"):
            assert client.get(f"/{name}/app/shared/style.css").text == "/* edited */"


def test_an_edited_page_json_changes_the_title(site: Path, template: Path) -> None:
    path = template / "pages/camera-caption/page.json"
    with watching(LiveSite(site, template=template)) as (client, hear):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"title": "Another title"}))
        assert hear()[0] == "reload"
        assert "<title>Another title</title>" in client.get("/").text


def test_an_edited_model_manifest_is_announced(site: Path, template: Path) -> None:
    path = next(site.glob("models/*/manifest.json"))
    with watching(LiveSite(site, template=template)) as (client, hear):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"prompts": []}))
        assert hear()[0] == "reload"
        assert client.get(f"/{path.relative_to(site).as_posix()}").json()["prompts"] == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [("{% if %}", "Expected an expression"), ("{{ nobody.knows }}", "'nobody' is undefined")],
    ids=["syntax", "undefined"],
)
def test_a_broken_template_is_named_with_its_line_and_the_server_goes_on(
    site: Path, template: Path, broken: str, message: str
) -> None:
    page = template / "pages/camera-caption/page.html"
    good = page.read_text()
    with watching(LiveSite(site, template=template)) as (client, hear):
        before = client.get("/").text
        lines = good.splitlines()
        page.write_text("\n".join([*lines[:5], broken, *lines[5:]]))
        name, problem = hear()
        assert name == "problem"
        assert message in str(problem["message"])
        assert (problem["file"], problem["line"]) == (str(page), 6)
        assert [6, broken] in problem["excerpt"]  # type: ignore[operator]
        assert client.get("/").text == before, "the last good page stays"
        page.write_text(good)
        assert hear() == ("reload", {"version": 2})


def test_a_broken_page_json_is_named_and_mended(site: Path, template: Path) -> None:
    path = template / "pages/camera-caption/page.json"
    good = path.read_text()
    with watching(LiveSite(site, template=template)) as (_, hear):
        path.write_text(good[:-5])
        name, problem = hear()
        assert name == "problem"
        assert "page.json" in str(problem["message"])
        path.write_text(good)
        assert hear()[0] == "reload"


def test_a_site_that_is_built_again_is_loaded_again(site: Path, template: Path) -> None:
    with watching(LiveSite(site, template=template)) as (client, hear):
        for title in ("Second", "Third"):
            builder.build("camera-caption", model=site.parent / "tiny-vlm", out=site, title=title)
            while f"<title>{title}</title>" not in client.get("/").text:
                assert hear()[0] in ("reload", "problem")  # a problem in the moment in which there is no site


def test_a_folder_of_something_else_cannot_be_watched(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("page")
    with pytest.raises(PreviewError, match="was not built by webgpu-demo"):
        LiveSite(tmp_path)


def test_an_error_outside_the_sources_has_no_place(make_site: MakeSite) -> None:
    try:
        (make_site() / "missing").read_text()
    except OSError as error:
        problem = describe(error, [make_site()])
    assert (problem.title, problem.line, problem.file) == ("FileNotFoundError", None, "")


@pytest.mark.parametrize("page", ["camera-caption", "photo-search"])
def test_unedited_sources_make_the_page_that_was_built(page: str, tmp_path: Path, make_model: MakeModel) -> None:
    task = "image-text-to-text" if page == "camera-caption" else "zero-shot-image-classification"
    built = builder.build(page, model=make_model(task=task), out=tmp_path / "site", title="A & <B>")
    fresh = LiveSite(built.path).fresh()
    assert fresh["index.html"] == (built.path / "index.html").read_bytes()
    assert set(fresh) <= {entry.path for entry in built.files}

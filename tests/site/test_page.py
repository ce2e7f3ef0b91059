"""Pages are found by discovery and follow the page contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.errors import SiteError
from builder.paths import web_template
from builder.site.page import all_pages

PAGES = all_pages(web_template())


def test_all_pages_finds_the_two_pages() -> None:
    assert {"camera-caption", "photo-search"} <= set(PAGES)


@pytest.mark.parametrize("slug", PAGES)
def test_every_page_has_its_files_and_words(slug: str) -> None:
    page = PAGES[slug]
    assert all((page.folder / name).is_file() for name in ("page.html", "main.js", "worker.js"))
    assert page.title
    assert page.summary
    assert 0 < len(page.short) <= 60


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", json.dumps({"slug": "y", "title": "", "task": "", "summary": "", "sample": None})]
)
def test_all_pages_with_a_broken_page_json_names_it(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "pages" / "x"
    folder.mkdir(parents=True)
    (folder / "page.json").write_text(content)
    with pytest.raises(SiteError, match=r"page\.json"):
        all_pages(tmp_path)

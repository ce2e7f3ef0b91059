"""Every word that a page shows has its Chinese: what scripts say, and what the HTML marks."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from builder.paths import web_template
from builder.site.page import all_pages
from builder.site.render import Outside, page_config, render_page

TEMPLATE = web_template()
PAGES = all_pages(TEMPLATE)
SPOKEN = re.compile(r"""(?<![\w.])(?:t|later)\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")""")
COMPUTED = re.compile(r"(?<![\w.])(?:t|later)\(\s*`")
QUOTED = r"""(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")"""
ENTRY = re.compile(rf"^ {{2}}(?:{QUOTED}|(\w+)):\s*{QUOTED}", re.MULTILINE)


def unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def spoken(folder: Path) -> dict[str, str]:
    """Sentence → the script that says it."""
    found: dict[str, str] = {}
    for script in sorted(folder.glob("*.js")):
        code = re.sub(r"^\s*(\*|//|/\*).*$", "", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert not COMPUTED.search(code), f"{script.name}: a sentence with a value in it can never be found in zh.js"
        found |= {unescape(single or double): script.name for single, double in SPOKEN.findall(code)}
    return found


def words(folder: Path) -> dict[str, str]:
    code = (folder / "zh.js").read_text(encoding="utf-8")
    # A long sentence stands on the line after its key.
    code = re.sub(r":\n\s+(['\"])", r": \1", code)
    return {unescape(a or b or c): unescape(d or e) for a, b, c, d, e in ENTRY.findall(code)}


class Marked(HTMLParser):
    """Collects the text of elements with data-t, and the attributes that data-t-attr names."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert not self._inside, f"<{tag}> inside an element with data-t would be lost when it is translated"
        self.texts += [given[name] or "" for name in (given.get("data-t-attr") or "").split()]
        if "data-t" in given:
            self._inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] = " ".join(f"{self.texts[-1]} {data}".split())


def marked(slug: str) -> set[str]:
    page = PAGES[slug]
    config = page_config(page, title=page.title, model="m", sample=None, outside=Outside())
    parser = Marked()
    parser.feed(render_page(page, config, template=TEMPLATE, outside=Outside()))
    return {text for text in parser.texts if text}


@pytest.mark.parametrize("slug", [None, *PAGES])
def test_every_sentence_has_its_chinese(slug: str | None) -> None:
    shared = words(TEMPLATE / "shared")
    said = spoken(PAGES[slug].folder if slug else TEMPLATE / "shared")
    known = {**shared, **words(PAGES[slug].folder)} if slug else shared
    sentences = {*said, *(marked(slug) if slug else ())}
    assert sentences
    missing = sorted(sentence for sentence in sentences if not known.get(sentence))
    assert not missing, missing


@pytest.mark.parametrize("slug", [None, *PAGES])
def test_every_translation_keeps_the_values_of_its_sentence(slug: str | None) -> None:
    for english, chinese in words(PAGES[slug].folder if slug else TEMPLATE / "shared").items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese)), english

"""What a query finds, and what it does not: the embedded album, whose every photo has a known caption."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from builder.embedded.samples import ALBUM_SIZE, album_scenes
from builder.embedded.scenes import COLOURS, KINDS, with_article
from builder.paths import web_template
from builder.sentences import read_sentences
from tests.browser.conftest import OpenPage, screenshot_on_failure
from tests.browser.photo_page import count, open_photos, search, shown

pytestmark = [pytest.mark.browser, pytest.mark.slow]

COUNT_SENTENCES = """
window.computed = 0;
window.Worker = class extends Worker {
  constructor(...given) {
    super(...given);
    this.addEventListener('message', ({ data }) => (window.computed += Number(data.event?.kind === 'labels')));
  }
};
"""
"""Counts the sentences that the worker has computed for tags: it says so of each."""


def absent_things() -> list[str]:
    """What the album does not show: every third label that the model never learnt, every fourth pair that it did."""
    labels = read_sentences(web_template() / "pages/photo-search/sentences.json").labels
    strange = [label for label in labels if label not in (*KINDS, "sign", "text")]
    pairs = [(colour, kind) for kind in KINDS for colour in COLOURS if not showing(colour, kind)]
    return [with_article(thing) for thing in (*strange[::3], *(" ".join(pair) for pair in pairs[::4]))]


def showing(colour: str, kind: str) -> set[str]:
    """Names of the photos that such a thing is in."""
    return {
        name
        for name, scene in album_scenes().items()
        if any((thing.colour, thing.kind) == (colour, kind) and thing.word is None for thing in scene.things)
    }


def test_every_caption_is_found_and_what_is_not_there_is_not(demo_address: str, open_page: OpenPage) -> None:
    watch = open_photos(open_page, demo_address, "&source=sample")
    with screenshot_on_failure(watch, "photo-queries"):
        found = {name: search(watch, scene.caption) for name, scene in album_scenes().items()}
        first = sum(names[:1] == [name] for name, names in found.items())
        assert first >= 0.96 * ALBUM_SIZE, {name: names for name, names in found.items() if names[:1] != [name]}
        assert all(found.values()), [name for name, names in found.items() if not names]
        absent = absent_things()
        rubbish = {text: names for text in absent if (names := search(watch, text))}
        assert len(rubbish) <= 0.05 * len(absent), rubbish
        search(watch, "asdf qwer")
        assert "Nothing matches “asdf qwer”" in watch.page.inner_text("[data-role=empty]")
        below = list[str]()
        for text in ("cup", "key", "a circle"):
            if not search(watch, text):
                below.append(watch.page.inner_text("[data-role=empty]"))
        assert [words for words in below if re.search(r"\d+ lies? just below", words)], below
        watch.page.fill("[data-role=query]", "")
        watch.page.wait_for_selector("[data-role=album]:not([hidden])")
        assert count(watch) == f"{ALBUM_SIZE} photos", "scenes that look alike must not be folded"
    watch.assert_clean()


def test_a_short_query_finds_the_thing_or_has_it_among_the_nearest(demo_address: str, open_page: OpenPage) -> None:
    """Few words about one of several things reach less than a caption: the thing must still be at hand."""
    watch = open_photos(open_page, demo_address, "&source=sample")
    with screenshot_on_failure(watch, "photo-short"):
        assert set(search(watch, "yellow cup")[:2]) <= showing("yellow", "cup")
        assert showing("yellow", "cup") & set(search(watch, "a yellow cup")[:1])
        missed, asked = {}, [(c, k) for k in KINDS for c in COLOURS if showing(c, k)][::2]
        for colour, kind in asked:
            names = search(watch, f"{colour} {kind}")
            if not names:
                watch.page.click("[data-role=show-near]")
                names = shown(watch)
                assert 0 < len(names) <= 12
            if not showing(colour, kind) & set(names):
                missed[f"{colour} {kind}"] = names[:3]
        assert len(missed) <= 0.25 * len(asked), missed
    watch.assert_clean()


def test_marks_examples_and_the_address_make_a_search(demo_address: str, open_page: OpenPage) -> None:
    watch = open_photos(open_page, demo_address, "&source=sample&q=yellow%20cup")
    page = watch.page
    with screenshot_on_failure(watch, "photo-marks"):
        page.wait_for_selector("[data-role=status]:has-text('“yellow cup”')", timeout=60_000)
        both = shown(watch)
        assert both[:2] == ["photo-28.jpg", "photo-32.jpg"], "two yellow cups, and one"
        search(watch, 'yellow cup -0.5:"two yellow cups"')
        page.click("[data-role=show-near]")
        without = shown(watch)
        assert without.index("photo-32.jpg") < without.index("photo-28.jpg"), "what is taken away goes down"
        search(watch, '"yellow cup" -"two yellow cups"')
        assert page.eval_on_selector_all("[data-role=parts] li", "all => all.map(e => e.textContent)") == [
            "+ yellow cup",
            "− two yellow cups",
        ]
        assert parse_qs(urlsplit(page.url).query)["q"] == ['"yellow cup" -"two yellow cups"']
        towards = search(watch, 'cup 6:"a sign that says BUS"')
        assert towards[:1] == ["photo-34.jpg"], "weight decides"
        page.fill("[data-role=query]", "")
        page.wait_for_selector("[data-role=album]:not([hidden])")
        shown(watch, "album")
        page.click('[data-role=album] [data-name="photo-05.jpg"] button')
        page.click("[data-role=viewer] [data-part=like]")
        page.wait_for_selector("[data-role=status]:has-text('like it')", timeout=60_000)
        alike = shown(watch)
        assert "photo-05.jpg" not in alike, "an example is not its own result"
        captions = [album_scenes()[name].caption for name in alike[:3]]
        assert any("blue" in caption for caption in captions), captions
    watch.assert_clean()


def test_the_nearest_are_shown_on_demand_where_nothing_matches(demo_address: str, open_page: OpenPage) -> None:
    watch = open_photos(open_page, demo_address, "&source=sample", before=COUNT_SENTENCES)
    page = watch.page
    with screenshot_on_failure(watch, "photo-near"):
        search(watch, "elephant")
        assert page.is_visible("[data-role=show-near]")
        page.click("[data-role=show-near]")
        names = shown(watch)
        assert names
        page.click("[data-role=filters] summary")
        page.check("[data-role=scores]")
        scores = page.eval_on_selector_all("[data-role=results] [data-photo]", "all => all.map(e => +e.dataset.score)")
        assert scores == sorted(scores, reverse=True)
        assert page.inner_text("[data-role=results] li:first-child .score") == f"{scores[0]:.2f}"
        page.click("[data-role=tag]")
        page.wait_for_selector("[data-role=tags] button", timeout=120_000)
        assert page.evaluate("window.computed") == 0, "the vectors of the page's labels came with the site"
        page.fill("[data-role=query]", "")
        page.wait_for_selector("[data-role=album]:not([hidden])")
        labels = page.eval_on_selector_all("[data-role=tags] button", "all => all.map(e => e.dataset.tag)")
        learnt = [label for label in labels if label in KINDS]
        assert len(learnt) >= 4, "the model knows these words; of the others it knows nothing"
        right, tagged = 0, 0
        for label in learnt:
            page.click(f"[data-tag={label}]")
            page.wait_for_selector(f"[data-tag={label}][aria-pressed=true]")
            page.wait_for_selector(f"[data-role=count]:has-text(' of {ALBUM_SIZE} photos')")
            captions = [album_scenes()[name].caption for name in shown(watch, "album")]
            right, tagged = right + sum(label in caption for caption in captions), tagged + len(captions)
            assert f"tag={label}" in page.url
            page.click(f"[data-tag={label}]")
            page.wait_for_selector("[data-role=count]:not(:has-text(' of '))")
        assert right >= 0.8 * tagged, (right, tagged)
        page.fill("[data-role=labels]", "a yellow cup, a blue car,")
        page.click("[data-role=tag]")
        page.wait_for_selector("[data-tag='a yellow cup']", timeout=120_000)
        assert page.locator("[data-role=tags] button").count() <= 2, "own labels take the place of the page's"
        assert page.evaluate("window.computed") == 2
    watch.assert_clean()

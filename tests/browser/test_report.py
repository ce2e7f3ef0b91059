"""report.html as its reader sees it: styled under its own policy, on a phone and on a desk, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Playwright

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1000])
def test_report_is_styled_under_its_own_policy_and_fits_the_window(
    scheme: Literal["light", "dark"], width: int, tools: Playwright, chromium: str, quantized_models: dict[str, Path]
) -> None:
    browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    try:
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto((quantized_models["scenes-vlm"] / "report.html").as_uri())
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        scroll = page.evaluate("document.documentElement.scrollWidth")
    finally:
        browser.close()
    assert said == []
    assert paper == {"light": "rgb(252, 252, 251)", "dark": "rgb(19, 20, 23)"}[scheme]
    assert scroll <= width

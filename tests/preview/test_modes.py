"""The page as others will see it: what each mode changes, and that an address carries it to all the page loads."""

from __future__ import annotations

import time

import httpx
import pytest

from builder.errors import PreviewError
from builder.preview import Modes
from builder.preview.catalog import Catalog
from builder.preview.files import Files
from builder.preview.modes import Throttle, parse_modes, parse_rate
from tests.preview.conftest import MakeSite, Serve


def test_modes_are_read_from_an_address_as_they_are_written() -> None:
    every = Modes(webgpu=False, offline=True, throttle="1.5mbit", space=True)
    assert parse_modes(",".join(every.words())) == every
    assert parse_modes("no-webgpu") == Modes(webgpu=False)
    assert [parse_modes(text) for text in ("", "fast", "no-webgpu,fast", "throttle=quick")] == [None] * 4
    assert [parse_modes(f"throttle={rate}") for rate in ("0mbit", "1kbit", "0.001kbit")] == [None] * 3, "too slow"
    assert Modes(webgpu=False, throttle="1mbit").joined(Modes(throttle="2mbit", space=True)) == Modes(
        webgpu=False, throttle="2mbit", space=True
    )


@pytest.mark.parametrize(("text", "bits"), [("10mbit", 10e6), ("1.5Mbit", 1.5e6), ("56kbit", 56e3), ("1gbit", 1e9)])
def test_a_rate_is_read_in_bits_per_second(text: str, bits: float) -> None:
    assert parse_rate(text) == bits


@pytest.mark.parametrize("text", ["10", "10mb", "fast", "-1mbit", "0mbit", "1kbit", "1e3mbit", ""])
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(PreviewError, match="no rate") as caught:
        parse_rate(text)
    assert "--throttle 10mbit" in caught.value.hint


def test_a_throttle_shares_its_rate_among_all_who_send() -> None:
    now = 100.0
    throttle = Throttle(8e6, clock=lambda: now)  # a million bytes per second
    assert throttle.delay(500_000) == pytest.approx(0.5)
    assert throttle.delay(500_000) == pytest.approx(1.0)
    now = 110.0
    assert throttle.delay(100_000) == pytest.approx(0.1), "what was not used is not saved up"


def test_a_throttled_download_takes_its_time_and_is_whole(make_site: MakeSite, serve: Serve) -> None:
    site = make_site()
    client = serve(site, tools=True)
    whole = (site / "models/m/onnx/model.onnx").read_bytes()
    began = time.monotonic()
    answer = client.get("/_preview/as/throttle=8mbit/models/m/onnx/model.onnx")
    assert time.monotonic() - began >= 0.9 * len(whole) / 1e6
    assert answer.content == whole
    assert client.get("/models/m/onnx/model.onnx").content == whole


def test_a_rate_that_is_none_is_not_found_and_many_rates_are_not_kept(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site(), tools=True)
    for rate in ("1kbit", "0mbit", "fast"):
        assert client.get(f"/_preview/as/throttle={rate}/").status_code == 404
    files = Files(Catalog(make_site()))
    lines = [files.line(Modes(throttle=f"{number}mbit")) for number in range(1, 100)]
    assert files.line(Modes(throttle="99Mbit")) is lines[-1], "one rate is one line"
    assert files.line(Modes(throttle="1mbit")) is not lines[0], "the oldest are forgotten"
    assert files.line(Modes()) is None


def test_offline_breaks_the_connection_at_the_model_only(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site(connect=("https://huggingface.co",)), tools=True)
    page = client.get("/_preview/as/offline/")
    assert page.status_code == client.get("/_preview/as/offline/app/main.js").status_code == 200
    assert "https://huggingface.co" not in page.headers["content-security-policy"]
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/_preview/as/offline/models/m/onnx/model.onnx")
    assert client.get("/models/m/onnx/model.onnx").status_code == 200


def test_a_server_in_a_mode_shows_every_address_in_it(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site(), tools=True, modes=Modes(webgpu=False, offline=True))
    assert 'client.js?as=no-webgpu%2Coffline"' in client.get("/").text
    assert 'client.js?as=no-webgpu%2Coffline%2Cspace"' in client.get("/_preview/as/space/").text
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/models/m/onnx/model.onnx")


def test_a_view_as_space_has_only_the_headers_of_a_space(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site(), tools=True)
    for name in ("", "app/main.js", "models/m/onnx/model.onnx", "missing"):
        headers = client.get(f"/_preview/as/space/{name}").headers
        assert "content-security-policy" not in headers
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "cross-origin"


def test_a_script_is_added_to_pages_and_workers_and_to_nothing_else(make_site: MakeSite, serve: Serve) -> None:
    site = make_site()
    client = serve(site, tools=True)
    page = client.get("/").text
    assert page.replace('<script type="module" src="/_preview/client.js?"></script>', "") == (
        (site / "index.html").read_text()
    )
    script = (site / "app/pages/p/worker.js").read_text()
    address = "/_preview/as/no-webgpu/app/pages/p/worker.js"
    worker = client.get(address, headers={"sec-fetch-dest": "worker"})
    assert worker.text == f'import "/_preview/worker.js?as=no-webgpu"; {script}'
    plain = client.get(address, headers={"sec-fetch-dest": "script"})
    assert plain.text == script
    assert plain.headers["etag"] != worker.headers["etag"]
    for name in ("client.js", "worker.js", "without.js", "outside.js", "reload.js", "overlay.css", "style.css"):
        assert client.get(f"/_preview/{name}").status_code == 200

"""Addresses that pages fetch from: nothing but a host gets into a policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import SiteError
from builder.site.addresses import page_address, page_origin, photos_address

INJECTED = "https://x.example; script-src 'unsafe-inline'/m"


@pytest.mark.parametrize(
    ("value", "folder", "address"),
    [
        ("https://somebody-search.hf.space", False, "https://somebody-search.hf.space"),
        ("https://huggingface.co/a/b/resolve/main", True, "https://huggingface.co/a/b/resolve/main/"),
        ("https://x.example:8443/m/", True, "https://x.example:8443/m/"),
        ("https://x.example/a;b,c'd*/", True, "https://x.example/a;b,c'd*/"),
        ("http://localhost:7860", False, "http://localhost:7860"),
        ("http://127.0.0.1:7860/", False, "http://127.0.0.1:7860/"),
        ("http://[::1]:7860", False, "http://[::1]:7860"),
        ("https://xn--bcher-kva.example", False, "https://xn--bcher-kva.example"),
    ],
)
def test_address_of_a_host_is_taken(value: str, folder: bool, address: str) -> None:
    assert page_address("server", value, folder=folder) == address


@pytest.mark.parametrize(
    "value",
    [
        INJECTED,
        "https://a *",
        "https://*",
        "https://a,b",
        "https://'self'",
        "https://x.example\t; img-src *",
        "https://x.example\r\n/",
        "https://x.example/a b",
        "https://x:99999999",
        "https://x:port",
        "http://[::1",
        "https://bücher.example",
        "https://x.example:/",
        "https://-x.example",
        "http://x.example",
        "ftp://x.example",
        "//x.example",
        "x.example",
        "",
    ],
)
def test_address_that_is_more_or_less_than_a_host_is_refused(value: str) -> None:
    with pytest.raises(SiteError, match="server is no address for a page"):
        page_address("server", value)


def test_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(SiteError, match=r"'x\.example'") as caught:
        page_address("server", "https://me:hunter2@x.example/")
    assert "hunter2" not in caught.value.message


def test_folder_with_a_query_is_refused() -> None:
    with pytest.raises(SiteError, match="model_url is no address of a folder"):
        page_address("model_url", "https://x.example/m?revision=1", folder=True)


def test_origin_is_taken_and_more_than_one_refused() -> None:
    assert page_origin("origin", "https://cdn.example:444") == "https://cdn.example:444"
    for value in ("https://cdn.example/", "https://cdn.example/a", INJECTED, "https://cdn.example https://b.example"):
        with pytest.raises(SiteError):
            page_origin("origin", value)


@pytest.mark.parametrize("value", ["photos", "../album/", "Fotos März", "写真/2024"])
def test_folder_of_photos_beside_the_page_is_taken(value: str) -> None:
    assert photos_address(value, Path("album.index")) == value.rstrip("/") + "/"


@pytest.mark.parametrize("value", ["//x.example; a", "/\t/x.example", "\\\\x.example", "https://a *", "javascript:x"])
def test_folder_of_photos_that_is_another_host_is_checked(value: str) -> None:
    with pytest.raises(SiteError, match="photos_url is no address"):
        photos_address(value, Path("album.index"))

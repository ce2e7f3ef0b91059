"""The page's side of the format, in Node: what Python writes it reads, what it writes Python reads, and both agree."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path

import numpy as np
import pytest

from builder.album import AlbumIndex, write_index
from builder.index.pictures import fingerprint
from tests.index.conftest import SPACE, RunNode, made_up, photographs


def test_index_made_by_python_is_read_by_the_page(run_node: RunNode, tmp_path: Path) -> None:
    facts, photos = made_up(150, thumbnails=True)
    write_index(tmp_path / "a.index", facts, photos)
    queries = np.random.default_rng(3).standard_normal((20, facts.dimensions))
    (tmp_path / "queries.json").write_text(json.dumps(queries.tolist()))
    read = json.loads(run_node("read_index.mjs", tmp_path / "a.index", tmp_path / "queries.json"))
    assert (read["space"], read["model"], read["dimensions"]) == (facts.space, facts.model, facts.dimensions)
    album = AlbumIndex(tmp_path / "a.index")
    assert np.allclose([photo["vector"] for photo in read["photos"]], album.vectors(), atol=1e-6)
    for got, want in zip(read["photos"], photos, strict=True):
        assert (got["name"], got["size"], got["modified"]) == (want.name, want.size_bytes, want.modified_s)
        assert got["date"] is None if math.isnan(want.date_ms) else got["date"] == want.date_ms
        assert (got["place"] is None) == (want.place is None)
        if want.place is not None:
            assert (got["place"]["lat"], got["place"]["lon"]) == pytest.approx(want.place, abs=1e-7)
        assert (
            got["hash"] is None if not want.fingerprint else got["hash"][0] + (got["hash"][1] << 32) == want.fingerprint
        )
        assert base64.b64decode(got["thumbnail"] or "") == (want.thumbnail() if want.thumbnail else b"")
    for query, found in zip(queries, read["found"], strict=True):
        expected = album.search(query, 10)
        assert found["rows"] == [row for row, _ in expected]
        assert found["scores"] == pytest.approx([score for _, score in expected], abs=1e-5)


def test_index_made_by_the_page_is_read_by_python(run_node: RunNode, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((30, 96))
    photos = [
        {
            "name": f"Ordner {row // 4}/фото {row}.jpg",
            "size": 10**9 + row,
            "modified": 1_700_000_000 + row,
            "date": 1.7e12 + row if row % 2 else None,
            "place": {"lat": -12.5 - row, "lon": 100.25 + row} if row % 3 else None,
            "hash": [row, 2**32 - 1 - row] if row % 4 else None,
            "vector": vectors[row].tolist(),
            "thumbnail": base64.b64encode(b"\xff\xd8\xff" + bytes(row)).decode() if row % 5 else None,
        }
        for row in range(30)
    ]
    facts = {"space": SPACE, "model": "scènes", "dimensions": 96}
    (tmp_path / "photos.json").write_text(json.dumps({"facts": facts, "photos": photos}))
    run_node("write_index.mjs", tmp_path / "photos.json", tmp_path / "a.index")
    found = AlbumIndex(tmp_path / "a.index")
    assert (found.facts.space, found.facts.model, found.facts.dimensions) == (SPACE, "scènes", 96)
    assert found.names == [photo["name"] for photo in photos]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (found.vectors() * unit).sum(axis=1).min() > 0.9998
    for row, (got, want) in enumerate(zip(found.photos(), photos, strict=True)):
        assert (got.size_bytes, got.modified_s) == (want["size"], want["modified"])
        assert math.isnan(got.date_ms) if want["date"] is None else got.date_ms == want["date"]
        assert (got.place is not None) == bool(row % 3)
        assert got.place is None or got.place == pytest.approx((-12.5 - row, 100.25 + row), abs=1e-7)
        assert got.fingerprint == (row + ((2**32 - 1 - row) << 32) if row % 4 else 0)
        assert (got.thumbnail() if got.thumbnail else None) == (b"\xff\xd8\xff" + bytes(row) if row % 5 else None)


def test_page_and_python_round_vectors_alike(run_node: RunNode, tmp_path: Path) -> None:
    facts, photos = made_up(40)
    write_index(tmp_path / "python.index", facts, photos)
    vectors = AlbumIndex(tmp_path / "python.index").vectors()
    again = [
        {"name": f"{row}.jpg", "size": 1, "modified": 1, "date": 0, "place": None, "hash": None, "vector": row_vector}
        for row, row_vector in enumerate(vectors.tolist())
    ]
    job = {"facts": {"space": SPACE, "model": "m", "dimensions": facts.dimensions}, "photos": again}
    (tmp_path / "photos.json").write_text(json.dumps(job))
    run_node("write_index.mjs", tmp_path / "photos.json", tmp_path / "page.index")
    page, python = (AlbumIndex(tmp_path / f"{name}.index").codes for name in ("page", "python"))
    assert np.array_equal(page, python), "what was rounded once does not change when it is rounded again"


def test_damaged_index_is_read_or_refused_by_the_page_and_nothing_else(run_node: RunNode, tmp_path: Path) -> None:
    facts, photos = made_up(70, thumbnails=True)
    write_index(tmp_path / "a.index", facts, photos)
    found = json.loads(run_node("fuzz_index.mjs", tmp_path / "a.index"))
    assert found["cut"] == -(-(tmp_path / "a.index").stat().st_size // 97)
    assert found["opened"] > 50
    assert found["refused"] > 300


def test_search_finds_exactly_what_a_plain_loop_finds(run_node: RunNode) -> None:
    for dimensions, found in json.loads(run_node("search_vectors.mjs")).items():
        assert found["simd"] == [dimensions != "64", False], "few rows need none"
        assert found["same"] == found["filtered"] == found["queries"], dimensions
        assert found["floored"] == found["queries"] or dimensions == "1", "one number has two directions only"
        assert found["apart"] < 1e-4


def test_perceptual_hash_of_page_and_python_is_the_same(run_node: RunNode, tmp_path: Path) -> None:
    pictures = [*photographs().values(), photographs()["cat"].crop((3, 5, 60, 71))]
    for number, picture in enumerate(pictures):
        (tmp_path / f"{number}.rgb").write_bytes(picture.tobytes())
    job = [[str(tmp_path / f"{number}.rgb"), *picture.size] for number, picture in enumerate(pictures)]
    hashes = json.loads(run_node("hash_pictures.mjs", json.dumps(job)))
    assert [low + (high << 32) for low, high in hashes["hashes"]] == [fingerprint(np.asarray(p)) for p in pictures]
    assert hashes["distances"] == [64, 0, 1]

"""What a rule sees: the folder of a web model, read lazily, believing nothing.

Every reading has an answer for a file that is missing, broken or of another shape than expected, so that each rule can
look at what it is about and leave the rest to its own rule. Links are never followed.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from builder.export.rules import _tables
from builder.export.rules._graphs import GraphFacts, Port, UnreadableGraphError, read_facts
from builder.export.rules._tables import tables

Json = Mapping[str, Any]

SKIPPED_FOLDERS = frozenset({".git", ".cache"})
"""Left by git and by the Hub's client; no server hands them out."""
LFS_HEADER = b"version https://git-lfs"
PARSE_LIMIT_BYTES = 2**31 - 1
"""protobuf's limit: a larger ONNX file cannot be read, here or in a browser."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """One ONNX file in `onnx/`. ``session`` and ``dtype`` are None where its name fits no session of the model."""

    name: str
    path: Path
    session: str | None
    dtype: str | None
    size_bytes: int

    @property
    def where(self) -> str:
        return f"onnx/{self.name}"


class WebModel:
    """A folder for transformers.js, as the rules read it.

    ``stand_ins``: external data are files of zeros of the right size, as builder.hub fetches them.
    """

    def __init__(self, root: Path, *, stand_ins: bool = False) -> None:
        self.root = root
        self.stand_ins = stand_ins
        self.problems: dict[str, str] = {}
        """JSON file → what is wrong with it."""
        self._json: dict[str, Json] = {}
        self._facts: dict[str, GraphFacts | UnreadableGraphError] = {}

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """All paths but folders, links included, relative and with forward slashes."""
        found: list[str] = []
        for folder, folders, files in os.walk(self.root):
            here = Path(folder)
            links = [name for name in folders if (here / name).is_symlink()]
            folders[:] = sorted(set(folders) - set(links) - SKIPPED_FOLDERS)
            found += [(here / name).relative_to(self.root).as_posix() for name in [*files, *links]]
        return tuple(sorted(found))

    def is_file(self, name: str) -> bool:
        """Tell whether there is a regular file of this name that is no link."""
        try:
            return stat.S_ISREG((self.root / name).lstat().st_mode)
        except (OSError, ValueError):
            return False

    def size_bytes(self, name: str) -> int:
        return (self.root / name).lstat().st_size if self.is_file(name) else 0

    def is_lfs_pointer(self, name: str) -> bool:
        """Tell whether git left the address of the file in place of the file."""
        if not self.is_file(name) or self.size_bytes(name) > 1024:
            return False
        return (self.root / name).read_bytes().startswith(LFS_HEADER)

    def json(self, name: str) -> Json:
        """Read a JSON object, or {} where there is none; what is wrong stands in ``problems``."""
        if name not in self._json:
            self._json[name] = self._read_json(name)
        return self._json[name]

    def _read_json(self, name: str) -> Json:
        if not self.is_file(name) or self.is_lfs_pointer(name):
            return {}
        try:
            text = (self.root / name).read_text(encoding="utf-8-sig")
            value = json.loads(text, parse_constant=_refuse)
        except (ValueError, OSError, RecursionError) as error:
            reason = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"is no JSON: {error}"
            self.problems[name] = reason
            return {}
        if not isinstance(value, dict):
            self.problems[name] = f"holds {type(value).__name__}, not an object"
            return {}
        return value

    @property
    def config(self) -> Json:
        return self.json("config.json")

    @property
    def preprocessor(self) -> Json:
        return self.json("preprocessor_config.json")

    @property
    def tokenizer_config(self) -> Json:
        return self.json("tokenizer_config.json")

    @property
    def js_config(self) -> Json:
        return as_object(self.config.get("transformers.js_config"))

    @property
    def model_type(self) -> str:
        return as_text(self.config.get("model_type"))

    @property
    def architecture(self) -> str:
        names = self.config.get("architectures")
        return as_text(names[0]) if isinstance(names, list) and names else ""

    @cached_property
    def model_class(self) -> str:
        """The class of transformers.js that stands for the model, or "" where it knows none."""
        classes = tables().model_classes.get(self.model_type, ())
        if self.architecture in classes:
            return self.architecture
        kinds = {tables().kind(name): name for name in reversed(classes)}
        return next((kinds[kind] for kind in _tables.KIND_ORDER if kind in kinds), classes[0] if classes else "")

    @property
    def kind(self) -> str:
        return tables().kind(self.model_class) if self.model_class else ""

    @cached_property
    def sessions(self) -> tuple[str, ...]:
        """File names of the sessions that the model's class loads; () where the class is unknown."""
        if not self.model_class:
            return ()
        towers = _tables.TOWERS.get(self.model_type, ())
        if towers and any(graph_name_fits(name, (tower,)) for tower in towers for name in self.graph_names):
            return (*towers, "model") if any(graph_name_fits(n, ("model",)) for n in self.graph_names) else towers
        names = _tables.SESSIONS.get(self.kind, ("model",))
        if self.kind == "ImageTextToText" and self.config.get("is_encoder_decoder") is True:
            names = (*names, "encoder_model")
        if self.kind == "MultimodalEncoder":
            names = (*names, *(f"{part}_encoder" for part in ("vision", "audio") if f"{part}_config" in self.config))
        return names

    @cached_property
    def graph_names(self) -> tuple[str, ...]:
        names = (entry.removeprefix("onnx/") for entry in self.entries if entry.startswith("onnx/"))
        return tuple(name for name in names if name.endswith(".onnx") and "/" not in name)

    @cached_property
    def graphs(self) -> tuple[Graph, ...]:
        """The ONNX files in `onnx/` that are real files."""
        known = self.sessions or _EVERY_SESSION
        found = []
        for name in self.graph_names:
            if self.is_file(f"onnx/{name}") and not self.is_lfs_pointer(f"onnx/{name}"):
                session, dtype = split_graph_name(name, known)
                path = self.root / "onnx" / name
                size = path.lstat().st_size
                found.append(Graph(name=name, path=path, session=session, dtype=dtype, size_bytes=size))
        return tuple(found)

    def of_session(self, session: str) -> dict[str, Graph]:
        """dtype → file, of one session."""
        return {graph.dtype: graph for graph in self.graphs if graph.session == session and graph.dtype is not None}

    def facts(self, graph: Graph) -> GraphFacts | None:
        """What is in an ONNX file, or None where it cannot be read."""
        read = self.reading(graph)
        return None if isinstance(read, UnreadableGraphError) else read

    def reading(self, graph: Graph) -> GraphFacts | UnreadableGraphError:
        """What is in an ONNX file, or why it cannot be read."""
        if graph.name not in self._facts:
            try:
                if graph.size_bytes > PARSE_LIMIT_BYTES:
                    raise UnreadableGraphError("is larger than protobuf can read (2 GiB)")
                self._facts[graph.name] = read_facts(graph.path)
            except UnreadableGraphError as error:
                self._facts[graph.name] = error
        return self._facts[graph.name]

    def read_graphs(self, *sessions: str) -> list[tuple[Graph, GraphFacts]]:
        """The readable ONNX files, of these sessions or of all."""
        wanted = [graph for graph in self.graphs if not sessions or graph.session in sessions]
        return [(graph, facts) for graph in wanted if (facts := self.facts(graph)) is not None]

    def read_sessions(self, *sessions: str) -> list[tuple[Graph, GraphFacts]]:
        """One readable ONNX file of each session: for what is the same in every dtype."""
        first: dict[str | None, tuple[Graph, GraphFacts]] = {}
        for graph, facts in self.read_graphs(*sessions):
            first.setdefault(graph.session, (graph, facts))
        return list(first.values())

    def is_stand_in(self, name: str) -> bool:
        """Tell whether a file may hold zeros instead of its contents."""
        return self.stand_ins and name.startswith("onnx/") and not name.endswith((".onnx", ".json"))

    def total_bytes(self, graph: Graph) -> int:
        """An ONNX file and its external data that lie beside it."""
        facts = self.facts(graph)
        weights = facts.weights if facts else ()
        places = {weight.external.location for weight in weights if weight.external}
        return graph.size_bytes + sum(self.size_bytes(f"onnx/{p}") for p in places if p and Path(p).name == p)

    @property
    def cache_sessions(self) -> tuple[str, ...]:
        """Sessions that carry a key-value cache of a decoder without encoder."""
        if self.kind == "DecoderOnly":
            return ("model",)
        if self.config.get("is_encoder_decoder") is True or "decoder_model_merged" not in self.sessions:
            return ()
        return ("decoder_model_merged",) if self.kind in _tables.IMAGE_TEXT | {"AudioTextToText"} else ()

    @cached_property
    def layers(self) -> int | None:
        """How many layers of cache transformers.js counts in the config; None for types that it counts otherwise."""
        key = tables().layer_keys.get(self.model_type)
        if key is None:
            return None
        part, _, name = key.rpartition(".")
        holder = as_object(self.config.get(part)) if part else self.config
        inner = tables().layer_keys.get(as_text(holder.get("model_type")), "") if part else name
        return as_int(holder.get(inner))

    @property
    def text_config(self) -> Json:
        """The part of the config that describes the language model."""
        part = tables().layer_keys.get(self.model_type, "").rpartition(".")[0]
        return as_object(self.config.get(part)) if part else self.config

    @property
    def processor_class(self) -> str:
        return as_text(self.preprocessor.get("processor_class"))


_EVERY_SESSION = tuple(
    dict.fromkeys(["model", *(n for s in _tables.SESSIONS.values() for n in s), "text_model", "vision_model"])
)


def split_graph_name(name: str, sessions: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Split "vision_encoder_q4f16.onnx" into session and dtype; (None, None) where no session and dtype fit."""
    stem = name.removesuffix(".onnx")
    for session in sessions:
        for dtype, suffix in tables().dtype_suffixes.items():
            if stem == session + suffix:
                return session, dtype
    return None, None


def graph_name_fits(name: str, sessions: tuple[str, ...]) -> bool:
    return split_graph_name(name, sessions)[0] is not None


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which Python writes and reads and JavaScript does not."""
    raise ValueError(f"{constant} is Python's, not JSON's")


def as_object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def as_int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


__all__ = ["Graph", "GraphFacts", "Json", "Port", "WebModel", "as_int", "as_object", "as_text"]

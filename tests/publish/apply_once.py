"""Publish a small page and its model in a process of its own: the real targets, the real huggingface_hub, few bytes.

Arguments: a JSON object {model, site, repo, space, fallback}. Prints a JSON object: commits, or the error. With
``rounds`` it does so that often and prints an array.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import replace
from pathlib import Path

from builder.errors import BuilderError
from builder.manifest import FileEntry, file_entry, parse, read_manifest
from builder.publish import live
from builder.publish.files import LocalFile, from_folder
from builder.publish.gradio_space import GradioSpace, program_files, render_server_readme, with_manifest
from builder.publish.model_repo import ModelRepo, model_files
from builder.publish.repository import Repository
from builder.publish.session import Session, open_session
from builder.publish.static_space import OWN, StaticSpace, render_readme


def run(asked: dict[str, str]) -> dict[str, object]:
    lines: list[str] = []
    try:
        with open_session(lines.append, pause_s=0.1) as session:
            return {"commits": _publish(session, asked, lines), "lines": lines}
    except BuilderError as error:
        everything = "".join(traceback.format_exception(error))
        return {"error": error.message, "hint": error.hint, "lines": lines, "everything": everything}


def _publish(session: Session, asked: dict[str, str], lines: list[str]) -> dict[str, str | None]:
    manifest = read_manifest(Path(asked["model"]))
    shipped = replace(manifest, tiers=manifest.tiers)
    files = model_files(Path(asked["model"]), manifest, shipped, asked["repo"])
    model = ModelRepo(
        repository=Repository(session=session, id=asked["repo"], kind="model"), files=files, origin=manifest.origin
    ).apply(lines.append)
    done: dict[str, str | None] = {"model": model.commit}
    if asked.get("fallback"):
        readme = render_server_readme(
            title="Server",
            task=manifest.task,
            model=manifest.name,
            model_repo=asked["repo"],
            model_revision=str(model.commit),
            page=session.endpoint,
            hardware=asked["fallback"],
            license=None,
            endpoint=session.endpoint,
        )
        server = GradioSpace(
            repository=Repository(session=session, id=f"{asked['space']}-server", kind="space"),
            files=with_manifest((*program_files(), readme)),
            hardware=asked["fallback"],
            variables={"MODEL_REPO": asked["repo"], "MODEL_REVISION": str(model.commit)},
        )
        done["server"] = server.apply(lines.append).commit
    card = render_readme(
        title="Tiny",
        summary="A page for tests.",
        space=asked["space"],
        address=session.endpoint,
        page="tiny",
        model=manifest.name,
        model_repo=asked["repo"],
        license=None,
        server=None,
        isolated=False,
        endpoint=session.endpoint,
    )
    space = Repository(session=session, id=asked["space"], kind="space", ours=OWN)
    page = StaticSpace(repository=space, files=tuple(_site(Path(asked["site"]))), card=card, private=False)
    applied = page.apply(lines.append)
    checks = [live.wait_for_stage(space, seconds=20, report=lines.append)]
    checks.append(live.check_tree(space, str(applied.commit), page.files))
    live.require(checks, applied.address)
    return {**done, "page": applied.commit, "address": applied.address}


def _site(site: Path) -> list[LocalFile]:
    listed = json.loads((site / "manifest.json").read_text(encoding="utf-8"))["files"]
    entries = [parse(FileEntry, entry) for entry in listed]
    return from_folder(site, [*entries, file_entry(site, "manifest.json")])


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    rounds = int(asked.get("rounds") or 0)
    print(json.dumps([run(asked) for _ in range(rounds)] if rounds else run(asked)))

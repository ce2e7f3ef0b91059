"""Target: a folder of this machine, for any static host.

A host must send each file with its type; what else it should send is returned by `wanted_headers`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.errors import PublishError
from builder.folders import new_folder
from builder.manifest import FILE_NAME, file_sha256
from builder.publish._contract import Action, Applied, Change, Plan, Report
from builder.publish.files import LocalFile

COST = "free: a folder on this machine"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """``files`` are the site's, its manifest.json among them."""

    path: Path
    files: tuple[LocalFile, ...]

    def plan(self) -> Plan:
        """Compare with what is there.

        Raises:
            PublishError: the folder holds files that no earlier run wrote.
        """
        there = self._there("give another folder with --folder")
        wanted = {file.path: file for file in self.files}
        changes = [
            Change(path=path, action=_action(there.get(path), file), size_bytes=file.size_bytes)
            for path, file in wanted.items()
        ]
        stale = [
            Change(path=path, action="delete", size_bytes=there[path].lstat().st_size)
            for path in sorted(set(there) - set(wanted))
        ]
        exists = self.path.exists()
        return Plan(target="folder", place=str(self.path), exists=exists, changes=(*changes, *stale), cost=COST)

    def _there(self, hint: str) -> dict[str, Path]:
        """Path → file of what an earlier run wrote."""
        there = {p.relative_to(self.path).as_posix(): p for p in self.path.rglob("*") if p.is_file() or p.is_symlink()}
        foreign = sorted(set(there) - _listed(self.path / FILE_NAME))
        if foreign:
            raise PublishError(
                f"{self.path} holds files of yours that would be lost: {', '.join(foreign[:5])}", hint=hint
            )
        return there

    def remove(self) -> None:
        """Take the whole folder away.

        Raises:
            PublishError: it holds files that no run wrote, or cannot be removed.
        """
        self._there("move them to another folder first")
        try:
            if self.path.exists():
                shutil.rmtree(self.path)
        except OSError as error:
            raise PublishError(
                f"{self.path} cannot be removed: {(error.strerror or str(error)).lower()}", hint="remove it by hand"
            ) from error

    def apply(self, report: Report) -> Applied:
        plan = self.plan()
        if plan.pending:
            report(f"writing {self.path}")
            with new_folder(self.path, error=PublishError) as part:
                for file in self.files:
                    target = part / file.path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(file.content())
        return Applied(
            target="folder",
            place=str(self.path),
            address=str(self.path),
            commit=None,
            previous=None,
            changed=bool(plan.pending),
            made=not plan.exists,
        )


def wanted_headers(policy: str) -> Mapping[str, str]:
    """What a host should send with every file; without it the page works too, only slower on WebAssembly.

    The page has its policy in its head already, but a worker takes its own from the header of its script.
    """
    return {
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }


def _listed(manifest: Path) -> set[str]:
    """Paths that an earlier run wrote: those in the site's own manifest.json, and that file."""
    try:
        raw = json.loads(manifest.read_text(encoding="utf-8"))
        return {entry["path"] for entry in raw["files"]} | {FILE_NAME} if "generator" in raw else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _action(there: Path | None, file: LocalFile) -> Action:
    if there is None:
        return "add"
    if there.is_symlink() or there.stat().st_size != file.size_bytes or file_sha256(there) != file.sha256:
        return "change"
    return "keep"

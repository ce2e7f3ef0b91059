"""Target: a Gradio Space that runs the same graphs on a server, for visitors whose browser cannot.

Its program is spaces/gradio/ as it is; which model it runs stands in two variables of the Space, a repository and a
commit. Accounts may not always create such a Space: `RefusedError` says so in words, and the page is published without
it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from builder.errors import PublishError
from builder.manifest import FILE_NAME
from builder.paths import spaces
from builder.publish._contract import Applied, Change, Plan, Report
from builder.publish.files import LocalFile, from_bytes, from_text
from builder.publish.repository import Repository
from builder.publish.space_card import render_card, shorten
from builder.versions import GENERATOR, GRADIO

ZERO, CPU = "zero-a10g", "cpu-basic"
HARDWARE = (ZERO, CPU)
COST = {
    ZERO: "ZeroGPU: free accounts may host two such Spaces, paid ones more; the GPU is not used",
    CPU: "needs a paid plan (PRO, for organisations Team or Enterprise): Gradio Spaces on cpu-basic are not free",
}
SHIPPED = ("*.py", "requirements.txt")
REPO, REVISION = "MODEL_REPO", "MODEL_REVISION"


class RefusedError(PublishError):
    """The account may not have a Gradio Space on this hardware."""


@dataclass(frozen=True, kw_only=True)
class GradioSpace:
    """``files`` are its program and README.md; ``variables`` name the model and its commit."""

    repository: Repository
    files: tuple[LocalFile, ...]
    hardware: str
    variables: Mapping[str, str]

    def plan(self) -> Plan:
        head = self.repository.head()
        self.repository.check_usable(head, sdk="gradio")
        changes = list(self.repository.changes(self.files, head))
        there = self._variables() if head is not None else {}
        changes += [
            Change(path=f"variable {name}", action="change" if name in there else "add", size_bytes=None)
            for name, value in self.variables.items()
            if there.get(name) != value
        ]
        return Plan(
            target="Gradio Space",
            place=self.repository.id,
            exists=head is not None,
            changes=tuple(changes),
            cost=COST[self.hardware],
        )

    def apply(self, report: Report) -> Applied:
        """Create or update it.

        Raises:
            RefusedError: the account may not have it.
            PublishError: anything else.
        """
        there_now = self.repository.head()
        self.repository.check_usable(there_now, sdk="gradio")
        made = there_now is None
        if made:
            report(f"creating the Gradio Space {self.repository.id} on {self.hardware}")
            self.repository.create(
                refused=lambda error: _refused(self.hardware, error),
                space_sdk="gradio",
                space_hardware=self.hardware,
                space_variables=[{"key": name, "value": value} for name, value in self.variables.items()],
            )
        there = self._variables()
        session, space = self.repository.session, self.repository.id
        for name, value in self.variables.items():
            if there.get(name) != value:
                session.attempt(
                    f"setting {name} of {space}",
                    lambda name=name, value=value: session.api.add_space_variable(space, name, value),  # type: ignore[misc]
                )
        commit = self.repository.put(list(self.files), message="Publish the server")
        head = self.repository.head()
        return Applied(
            target="Gradio Space",
            place=space,
            address=head.host if head is not None and head.host else self.repository.address,
            commit=commit.oid,
            previous=commit.previous if not made else None,
            changed=commit.changed or there != dict(self.variables),
            made=made,
            host=head.host if head is not None else None,
        )

    def _variables(self) -> dict[str, str]:
        session, space = self.repository.session, self.repository.id

        def step() -> dict[str, str]:
            try:
                return {name: variable.value for name, variable in session.api.get_space_variables(space).items()}
            except RepositoryNotFoundError:
                return {}

        return session.attempt(f"reading {space}", step)


def program_files() -> tuple[LocalFile, ...]:
    """What runs on the server: spaces/gradio/ without its README.md."""
    root = spaces() / "gradio"
    paths = sorted(path for pattern in SHIPPED for path in root.glob(pattern) if path.is_file())
    return tuple(from_bytes(path.relative_to(root).as_posix(), path.read_bytes()) for path in paths)


def with_manifest(files: Iterable[LocalFile]) -> tuple[LocalFile, ...]:
    """Add the list of what is published, by which the next run knows what is its own."""
    listed = [{"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256} for file in files]
    record = {"format": 1, "generator": GENERATOR, "files": listed}
    return (*files, from_text(FILE_NAME, json.dumps(record, indent=1) + "\n"))


def render_server_readme(
    *,
    title: str,
    task: str,
    model: str,
    model_repo: str,
    model_revision: str,
    page: str,
    hardware: str,
    license: str | None,
    endpoint: str,
) -> LocalFile:
    """Return the Space's README.md."""
    summary = f"Answers for browsers that cannot run {model} themselves."
    fields: dict[str, object] = {
        "title": title,
        "emoji": "🛟",
        "colorFrom": "gray",
        "colorTo": "blue",
        "sdk": "gradio",
        "sdk_version": GRADIO,
        "python_version": "3.12",
        "app_file": "app.py",
        "pinned": False,
        "short_description": shorten(summary),
        "models": [model_repo],
        "license": license,
        "suggested_hardware": hardware,
    }
    values = {"title": title, "summary": summary, "task": task, "model": model, "page": page, "endpoint": endpoint}
    return render_card("gradio", fields, {**values, "model_repo": model_repo, "model_revision": model_revision})


def _refused(hardware: str, error: HfHubHTTPError) -> RefusedError:
    why = "needs a paid plan" if error.response.status_code == 402 else "is not allowed to this account or its token"
    other = (
        f"free accounts older than 30 days with a verified e-mail may host two on ZeroGPU: --fallback {ZERO}"
        if hardware == CPU
        else "ZeroGPU is open to accounts older than 30 days with a verified e-mail, for two Spaces; PRO has more. "
        "On another machine: `webgpu-demo fallback`, then --fallback https://…"
    )
    return RefusedError(
        f"a Gradio Space on {hardware} {why}, so visitors without WebGPU and WebAssembly get no server", hint=other
    )

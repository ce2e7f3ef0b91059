"""One repository of the Hub: what it holds, how it differs from a list of files, and one commit that mends that.

`create_commit` with the head as its parent is the Hub's only atomic write: `upload_folder` makes several commits, and
deletes in the first. What is deleted is only what an earlier run published: paths that the manifest.json there lists.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, RepoFile
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from builder.errors import PublishError
from builder.manifest import FILE_NAME
from builder.publish._contract import Change
from builder.publish.files import LocalFile
from builder.publish.session import Session, busy_as_error

Kind = Literal["model", "space"]
OF_THE_HUB = frozenset({".gitattributes", "README.md"})
"""What a new repository holds before anybody writes to it."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """One file there; ``sha256`` is known of large ones only, which the Hub keeps apart."""

    size_bytes: int
    blob_id: str
    sha256: str | None

    def is_same(self, file: LocalFile) -> bool:
        if self.size_bytes != file.size_bytes:
            return False
        return self.sha256 == file.sha256 if self.sha256 is not None else self.blob_id == file.blob_id


@dataclass(frozen=True, kw_only=True)
class Head:
    """The newest state of a repository. ``listed`` are the paths that its own manifest.json names.

    ``commit`` is None where nobody has committed anything yet.
    """

    commit: str | None
    files: Mapping[str, Remote]
    listed: frozenset[str] = frozenset()
    has_manifest: bool = False
    host: str | None = None
    sdk: str | None = None
    private: bool = False
    gated: bool = False


@dataclass(frozen=True, kw_only=True)
class Commit:
    """The state after a commit, and the one before; None: there was none."""

    oid: str | None
    previous: str | None
    changed: bool


@dataclass(frozen=True, kw_only=True)
class Repository:
    """``ours`` are paths that belong to this tool besides those which the manifest there lists.

    ``note`` is told, as in "space owner/name", what is about to be made (True), and that it could not be (False).
    """

    session: Session
    id: str
    kind: Kind
    ours: frozenset[str] = field(default_factory=frozenset)
    note: Callable[[str, bool], None] | None = None

    @property
    def name(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def address(self) -> str:
        prefix = "spaces/" if self.kind == "space" else ""
        return f"{self.session.endpoint}/{prefix}{self.id}"

    def head(self) -> Head | None:
        """What it holds now; None where there is no such repository.

        Raises:
            PublishError: the Hub refuses, or keeps failing.
        """
        return self.session.attempt(f"reading {self.id}", self._head)

    def _head(self) -> Head | None:
        api = self.session.api
        try:
            info = api.repo_info(self.id, repo_type=self.kind)
        except RepositoryNotFoundError:
            return None
        commit = info.sha
        files = self._tree(commit) if commit is not None else {}
        listed = self._listed(commit) if commit is not None and FILE_NAME in files else None
        return Head(
            commit=commit,
            files=files,
            listed=listed or frozenset(),
            has_manifest=listed is not None,
            host=getattr(info, "host", None),
            sdk=getattr(info, "sdk", None),
            private=bool(info.private),
            gated=bool(getattr(info, "gated", False)),
        )

    def _tree(self, commit: str) -> dict[str, Remote]:
        found = self.session.api.list_repo_tree(self.id, recursive=True, revision=commit, repo_type=self.kind)
        return {
            entry.path: Remote(
                size_bytes=entry.size, blob_id=entry.blob_id, sha256=entry.lfs.sha256 if entry.lfs else None
            )
            for entry in found
            if isinstance(entry, RepoFile)
        }

    def _listed(self, commit: str) -> frozenset[str] | None:
        """Paths of the manifest.json there; None where it is none of ours."""
        path = self.session.api.hf_hub_download(self.id, FILE_NAME, revision=commit, repo_type=self.kind)
        try:
            raw = json.loads(Path(path).read_text(encoding="utf-8"))
            own = "generator" in raw or "tiers" in raw
            return frozenset(_paths(raw)) | {FILE_NAME} if own else None
        except (ValueError, TypeError, AttributeError):
            return None

    def tree(self, commit: str) -> dict[str, Remote]:
        """The files of one commit."""
        return self.session.attempt(f"reading {self.id}", lambda: self._tree(commit))

    def check_usable(self, head: Head | None, *, sdk: str | None = None) -> None:
        """Refuse a repository that holds somebody's work: what is there must be ours, or nothing.

        Raises:
            PublishError: it does.
        """
        if head is None:
            return
        if sdk is not None and head.sdk not in (sdk, None):
            raise PublishError(f"{self.id} is a {head.sdk} Space", hint=f"give another name: this makes a {sdk} Space")
        others = sorted(set(head.files) - OF_THE_HUB - self.ours)
        if others and not head.has_manifest:
            raise PublishError(
                f"{self.address} exists and holds other things: {', '.join(others[:3])}",
                hint="give another name, or remove it on the Hub first",
            )

    def check_visibility(self, head: Head | None, *, private: bool) -> None:
        """Refuse to publish where more people, or fewer, can look than was asked for.

        Raises:
            PublishError: it is so.
        """
        if head is not None and head.private != private:
            is_now, wanted = ("private", "public") if head.private else ("public", "private")
            raise PublishError(
                f"{self.address} is {is_now}, and is to be {wanted}",
                hint=f"change that on {self.address}/settings, or give another name",
            )
        if head is not None and head.gated:
            raise PublishError(
                f"{self.address} is gated, and the visitors of a page cannot accept its terms",
                hint=f"open it on {self.address}/settings, or give another name with --model-repo",
            )

    def changes(self, files: Iterable[LocalFile], head: Head | None) -> list[Change]:
        """Compare ``files`` with what is there; files there that are not ours stay out of it."""
        there = head.files if head is not None else {}
        local = {file.path: file for file in files}
        found = [
            Change(
                path=path,
                action="add" if path not in there else "keep" if there[path].is_same(file) else "change",
                size_bytes=file.size_bytes,
            )
            for path, file in local.items()
        ]
        listed = (head.listed if head is not None else frozenset()) | self.ours
        stale = sorted((set(there) & listed) - set(local))
        return [*found, *(Change(path=p, action="delete", size_bytes=there[p].size_bytes) for p in stale)]

    def create(
        self,
        *,
        private: bool = False,
        refused: Callable[[HfHubHTTPError], PublishError] | None = None,
        **options: object,
    ) -> None:
        """Make it; ``options`` are those of `HfApi.create_repo` for Spaces, ``refused`` has words for 402 and 403.

        Raises:
            PublishError: the account may not.
        """

        def step() -> None:
            try:
                with busy_as_error():
                    self.session.api.create_repo(
                        self.id,
                        repo_type=self.kind,
                        private=private,
                        exist_ok=True,
                        **options,  # type: ignore[arg-type]
                    )
            except HfHubHTTPError as error:
                if refused is not None and error.response.status_code in (402, 403):
                    raise refused(error) from None
                raise

        note = self.note or _forget
        note(self.name, True)
        try:
            self.session.attempt(f"creating {self.id}", step)
        except PublishError:
            note(self.name, False)
            raise

    def put(self, files: list[LocalFile], *, message: str) -> Commit:
        """Bring the repository to ``files`` in one commit, or in none where nothing differs.

        Every attempt reads the head first: a commit that was made although its answer was lost is then seen, and one
        that somebody else made is taken into account.

        Raises:
            PublishError: the Hub refuses, or keeps failing. Then the repository is as it was, or as it should be.
        """
        before: list[str | None] = []

        def step() -> Commit:
            head = self._head()
            if head is None:
                raise PublishError(f"{self.id} has vanished from the Hub", hint="publish again")
            before.append(head.commit)
            pending = [change for change in self.changes(files, head) if change.action != "keep"]
            if not pending:
                if head.commit == before[0]:
                    self.session.report(f"{self.id} is up to date")
                return self._outcome(head.commit, before[0])
            self.session.report(f"{self.id}: {len(pending)} files to change")
            sources = {file.path: file.source for file in files}
            operations = [
                CommitOperationDelete(path_in_repo=change.path)
                if change.action == "delete"
                else CommitOperationAdd(path_in_repo=change.path, path_or_fileobj=sources[change.path])
                for change in pending
            ]
            done = self.session.api.create_commit(
                self.id, operations, commit_message=message, repo_type=self.kind, parent_commit=head.commit
            )
            return self._outcome(done.oid, before[0])

        return self.session.attempt(f"writing {self.id}", step)

    def restore(self, commit: str, *, message: str) -> Commit:
        """Bring back the files of an earlier commit, in a new one: large files are not sent again.

        Raises:
            PublishError: there is no such commit, or the Hub refuses.
        """

        def step() -> Commit:
            head = self._head()
            if head is None:
                raise PublishError(f"{self.id} has vanished from the Hub", hint="publish again")
            try:
                wanted = self._tree(commit)
            except RevisionNotFoundError:
                raise PublishError(f"{self.id} has no commit {commit}", hint="publish again") from None
            operations = [
                CommitOperationCopy(src_path_in_repo=path, path_in_repo=path, src_revision=commit)
                for path, file in wanted.items()
                if head.files.get(path) != file
            ]
            gone = [CommitOperationDelete(path_in_repo=path) for path in sorted(set(head.files) - set(wanted))]
            if not operations and not gone:
                return Commit(oid=head.commit, previous=head.commit, changed=False)
            done = self.session.api.create_commit(
                self.id, [*operations, *gone], commit_message=message, repo_type=self.kind, parent_commit=head.commit
            )
            return Commit(oid=done.oid, previous=head.commit, changed=True)

        return self.session.attempt(f"restoring {self.id}", step)

    def delete(self) -> None:
        """Remove it; one that is not there is no error."""
        self.session.attempt(
            f"deleting {self.id}",
            lambda: self.session.api.delete_repo(self.id, repo_type=self.kind, missing_ok=True),
        )

    @staticmethod
    def _outcome(oid: str | None, before: str | None) -> Commit:
        return Commit(oid=oid, previous=before if oid != before else None, changed=oid != before)


def _forget(name: str, is_made: bool) -> None:
    """For repositories that nobody keeps account of."""
    del name, is_made


def _paths(value: object) -> Iterable[str]:
    """Every ``path`` in a manifest: files, graphs and their external data alike."""
    if isinstance(value, dict):
        if isinstance(value.get("path"), str):
            yield value["path"]
        for inner in value.values():
            yield from _paths(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner)

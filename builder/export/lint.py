"""The contract of transformers.js, checked: what keeps a folder from running in a browser, and how to mend it.

Start with `check`. The rules stand in rules/, one module per theme; this module runs them all and collects what they
find. It judges any folder made for transformers.js, by whatever tool: no manifest.json is needed. It reads, and changes
nothing; weights stay on disk. `list_rules` gives the rules themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.errors import ModelError
from builder.export.rules._contract import Rule, Severity, all_rules
from builder.export.rules._model import WebModel

REPO_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?(@[\w./-]+)?")
UNJUDGED = "TJS000"
"""A rule could not be judged: the folder is broken in a way that the rule did not expect."""
ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong: ``where`` is a file, or a tensor in one; ``fix`` one command or one edit."""

    code: str
    severity: Severity
    where: str
    message: str
    fix: str

    @property
    def sentence(self) -> str:
        """Where and what, as one sentence."""
        return f"{self.where} {self.message}"


@dataclass(frozen=True, kw_only=True)
class RuleRow:
    """One rule, as documentation lists it."""

    code: str
    severity: Severity
    theme: str
    title: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """All findings about one folder, the gravest first."""

    target: str
    path: Path
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        return sum(finding.severity is severity for finding in self.findings)

    @property
    def ok(self) -> bool:
        """True where nothing keeps the model from running: no finding is an error."""
        return self.count(Severity.ERROR) == 0

    def summary(self) -> str:
        """One line for people."""
        if not self.findings:
            return f"{self.target}: nothing found"
        counts = [(self.count(severity), severity.value) for severity in Severity]
        words = [f"{n} {word}{'s' if n > 1 and word != 'info' else ''}" for n, word in counts if n]
        return f"{self.target}: {', '.join(words)}"


def check(target: str, *, revision: str | None = None, report: Callable[[str], None] | None = None) -> CheckReport:
    """Judge a folder, or a model repository of the Hub, by every rule.

    ``target`` is a folder, or ``owner/name`` or ``owner/name@revision`` where there is no such folder. Of a repository
    no external data are fetched, only their sizes: their contents are then not judged.

    Raises:
        ModelError: there is no such folder, and the name is no repository's.
        BuilderError: the repository cannot be fetched.
    """
    local = Path(target)
    folder = local if local.is_dir() else _fetch(target, revision, report)
    model = WebModel(folder, stand_ins=folder is not local)
    findings: list[Finding] = []
    for rule in all_rules():
        findings += _judge(rule, model)
    findings.sort(key=lambda f: (ORDER[f.severity], f.code, f.where))
    return CheckReport(target=target, path=folder, findings=tuple(findings))


def list_rules() -> tuple[RuleRow, ...]:
    """Every rule by code, for documentation."""
    return tuple(
        RuleRow(code=rule.code, severity=rule.severity, theme=rule.theme, title=rule.title, fix=rule.fix)
        for rule in all_rules()
    )


def _fetch(target: str, revision: str | None, report: Callable[[str], None] | None) -> Path:
    if Path(target).exists() or not REPO_ID.fullmatch(target):
        raise ModelError(
            f"{target} is neither a folder nor the name of a repository",
            hint="give a folder with config.json and onnx/, or owner/name",
        )
    from builder.hub import fetch_web_model

    return fetch_web_model(target, revision=revision, report=report)


def _judge(rule: Rule, model: WebModel) -> Iterator[Finding]:
    """Run one rule. A folder can be broken in ways that no rule foresaw: that is a finding, and the others go on."""
    try:
        for hit in rule.check(model):
            yield Finding(
                code=rule.code,
                severity=hit.severity or rule.severity,
                where=hit.where,
                message=hit.message,
                fix=hit.fix or rule.fix,
            )
    except Exception as error:
        yield Finding(
            code=UNJUDGED,
            severity=Severity.ERROR,
            where=rule.code,
            message=f"the rule ({rule.title}) could not be judged: {type(error).__name__}: {error}",
            fix="mend the other findings first; if this one stays, report it with the folder's JSON files",
        )

"""bench: what is claimed of this project, measured side by side with what people would use instead.

Start with `bench`. One file per bench, found by discovery; _contract.py says what a bench is and gives, peers/ whom it
is measured against, _report.py shows it. Results keep the machine, the versions and the date.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import shlex
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from builder.bench._contract import Bench, Report, Result, Setting, as_data, from_data
from builder.errors import BenchError, did_you_mean

ALL = "all"


def bench(
    names: Sequence[str] = (ALL,),
    *,
    against: Sequence[str] | None = None,
    models: Sequence[Path] = (),
    evaluation: Path | None = None,
    out: Path | None = None,
    report: Report | None = None,
) -> list[Result]:
    """Run benches by name, ``all`` of them by default, and write each one's JSON and one HTML report into ``out``.

    A JSON file is written as soon as its bench is done, and the report has all that lie there, of earlier runs too.
    What takes minutes to make is kept in the user's cache folder.

    Args:
        against: the peers to measure, all of them by default, none of them if empty.
        models: web model folders of the user's, in place of the models that a bench makes.
        evaluation: a folder of pictures for ``models``.

    Raises:
        BenchError: a bench or a peer is unknown, or what it measures does not run.
        ModelError: a folder of ``models`` is no web model.
    """
    from builder.bench._machine import describe_machine, describe_versions
    from builder.bench._report import write_report
    from builder.bench.peers import all_peers
    from builder.paths import cache_folder

    known, peers = all_benches(), all_peers()
    chosen = list(known) if ALL in names else list(dict.fromkeys(names))
    _check_names("bench", chosen, [*known, ALL])
    _check_names("peer", list(against or ()), list(peers))
    say = report or (lambda line: None)
    setting = Setting(
        work=cache_folder() / "bench",
        report=say,
        against=None if against is None else tuple(against),
        models=tuple(models),
        evaluation=evaluation,
    )
    results = []
    for name in chosen:
        say(f"bench {name}")
        machine, started = describe_machine(), time.monotonic()
        outcome = known[name].run(setting)
        result = Result(
            bench=name,
            summary=known[name].summary,
            command=_command(name, against, models, evaluation),
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
            seconds=round(time.monotonic() - started, 1),
            machine=machine,
            versions=describe_versions(),
            measures=outcome.measures,
            goals=outcome.goals,
            notes=outcome.notes,
        )
        results.append(result)
        if out is not None:
            _write_json(out / f"{name}.json", result)
            write_report(out, _read_results(out))
    return results


def _read_results(folder: Path) -> list[Result]:
    """What lies in a folder of results, by the alphabet; files that another version wrote are left out."""
    found = []
    for name in all_benches():
        try:
            found.append(from_data(json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def all_benches() -> Mapping[str, Bench]:
    """Name → bench, by the alphabet."""
    found = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_") and not m.ispkg]
    benches = [importlib.import_module(f"{__name__}.{name}").BENCH for name in found]
    return {found.name: found for found in benches}


def _check_names(kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    wrong = [name for name in names if name not in known]
    if wrong:
        raise BenchError(f"there is no {kind} {wrong[0]!r}", hint=did_you_mean(wrong[0], known))


def _command(name: str, against: Sequence[str] | None, models: Sequence[Path], evaluation: Path | None) -> str:
    """What measures the same again; folders by their last name only."""
    words = ["webgpu-demo", "bench", name]
    words += [word for peer in against or () for word in ("--against", peer)]
    words += [word for model in models for word in ("--model", model.name)]
    words += ["--eval", evaluation.name] if evaluation is not None else []
    return shlex.join(words)


def _write_json(path: Path, result: Result) -> None:
    from builder.reports import write_whole

    write_whole(path, json.dumps(as_data(result), indent=1, ensure_ascii=False) + "\n", error=BenchError)

"""bench: what is claimed of this project, measured side by side with what people would use instead.

Start with `bench`. One file per bench, found by discovery; _contract.py says what a bench is and gives, peers/ whom it
is measured against, _report.py shows it, _variants.py what ours were before. Results keep the machine, the versions and
the date.
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
from builder.errors import BenchError, BuilderError, did_you_mean

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
    Of several benches one that fails does not keep the others from running. What takes minutes to make and is not what
    is measured is kept in the user's cache folder.

    Args:
        against: the peers to measure, all of them by default, none of them if empty.
        models: web model folders of the user's, in place of the models that a bench makes.
        evaluation: a folder of pictures for ``models``.

    Raises:
        BenchError: a bench is unknown, a peer is of none of these benches, or what one measures does not run.
        ModelError: a folder of ``models`` is no web model.
        BenchesFailedError: of several benches some failed; it has the results of the others.
    """
    from builder.bench._machine import describe_machine, describe_versions
    from builder.bench._report import write_report
    from builder.paths import cache_folder

    known = all_benches()
    chosen = list(known) if ALL in names else list(dict.fromkeys(names))
    _check_names("bench", chosen, [*known, ALL])
    _check_peers(against or (), chosen)
    say = report or (lambda line: None)
    setting = Setting(
        work=cache_folder() / "bench",
        report=say,
        against=None if against is None else tuple(against),
        models=tuple(models),
        evaluation=evaluation,
    )
    results, failures = list[Result](), dict[str, BuilderError]()
    for name in chosen:
        say(f"bench {name}")
        machine, started = describe_machine(), time.monotonic()
        try:
            outcome = known[name].run(setting)
        except BuilderError as error:
            if len(chosen) == 1:
                raise
            failures[name] = error
            say(f"bench {name} failed: {error}")
            continue
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
    if failures:
        raise BenchesFailedError(failures, results)
    return results


class BenchesFailedError(BenchError):
    """Some of several benches failed; ``results`` are those of the others."""

    def __init__(self, failures: Mapping[str, BuilderError], results: list[Result]) -> None:
        told = "; ".join(f"{name}: {error}" for name, error in failures.items())
        hints = {error.hint for error in failures.values() if error.hint}
        super().__init__(
            f"{len(failures)} of {len(failures) + len(results)} benches failed: {told}", hint="; ".join(sorted(hints))
        )
        self.results = results


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


def _check_peers(against: Sequence[str], chosen: Sequence[str]) -> None:
    """A peer must be one of those that some of the chosen benches measure."""
    from builder.bench.peers import all_peers

    _check_names("peer", against, list(all_peers()))
    benches = all_benches()
    possible = dict.fromkeys(peer for name in chosen for peer in benches[name].peers)
    for peer in against:
        if peer not in possible:
            instead = f"it takes {', '.join(possible)}" if possible else "it measures no peers"
            users = ", ".join(bench.name for bench in benches.values() if peer in bench.peers)
            raise BenchError(
                f"{', '.join(chosen)} is not measured against {peer}: {instead}", hint=f"benches with it: {users}"
            )


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

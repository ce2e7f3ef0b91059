"""doctor: what is installed and where, what this machine can do, and for whatever fails what to do about it.

Start with `doctor`. packages.py looks at Python packages, the browser runtime and Node; browsers.py starts each browser
headless on a page of its own and asks it; machine.py looks at disk, memory and the Hub login.
Nothing is changed, installed or downloaded, and nothing but the Hub's whoami leaves this machine.
"""

from __future__ import annotations

from collections.abc import Callable

from builder.doctor._finding import Finding
from builder.doctor.browsers import look_at_browsers
from builder.doctor.machine import look_at_hub, look_at_machine
from builder.doctor.packages import look_at_packages

__all__ = ["Finding", "doctor"]


def doctor(
    *, browsers: bool = True, hub: bool = True, report: Callable[[str], None] | None = None
) -> tuple[Finding, ...]:
    """Look at everything; a finding whose ``state`` is "problem" has a remedy.

    ``browsers`` False starts none, ``hub`` False asks the Hub nothing.
    """
    say = report or (lambda line: None)
    found = [*look_at_packages(), *look_at_machine()]
    if browsers:
        say("starting each browser once")
        found += look_at_browsers()
    if hub:
        found += look_at_hub()
    return tuple(found)

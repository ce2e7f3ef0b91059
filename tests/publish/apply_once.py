"""Publish in a process of its own by the function behind the command, to see each line that it reports.

Arguments: a JSON object of options of `builder.publish`, and ``rounds``: how often to do it. Prints an array of JSON
objects, one for each: what came of it, or the error.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import asdict
from typing import Any

from builder import publish
from builder.errors import BuilderError


def run(options: dict[str, Any]) -> dict[str, object]:
    lines: list[str] = []
    try:
        done = publish("camera-caption", look=False, wait_s=20, report=lines.append, **options)
    except BuilderError as error:
        everything = "".join(traceback.format_exception(error))
        return {"error": error.message, "hint": error.hint, "lines": lines, "everything": everything}
    return {**asdict(done), "lines": lines}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    rounds = int(asked.pop("rounds", 1))
    print(json.dumps([run(asked) for _ in range(rounds)]))

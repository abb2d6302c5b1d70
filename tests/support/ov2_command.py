"""The command `ov2` in a process of its own. No test in here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

COMMAND = (sys.executable, "-m", "ov2_cli")
WAIT_S = 110.0


def ov2(
    *arguments: str, cwd: Path | None = None, wait_s: float = WAIT_S, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; what it printed, and its exit code. `environment`: instead of ours."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=wait_s, check=False, cwd=cwd, env=environment
    )

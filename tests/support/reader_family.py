"""Reader processes of an owner, or its workers, and the template that they are forked from. No test in here."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

READER = "stream.sources.reader"
WORKER = "stream.camera.worker"


def templates_of(pid: int, module: str = READER) -> list[psutil.Process]:
    return [each for each in psutil.Process(pid).children() if _command(each)[-4:-2] == [module, "template"]]


def readers_of(pid: int, module: str = READER) -> list[psutil.Process]:
    """Those of its templates, and those that are programs of their own."""
    forked = [each for template in templates_of(pid, module) for each in template.children()]
    return forked + [each for each in psutil.Process(pid).children() if _command(each)[-2:-1] == [module]]


def is_over(process: psutil.Process) -> bool:
    """It does nothing any more, whether somebody has asked for its exit status or not."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def descriptors_of(pid: int) -> dict[int, str]:
    """Of every open descriptor, what it is."""
    found = {}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            found[int(path.name)] = str(path.readlink())
    return found


def _command(process: psutil.Process) -> list[str]:
    """Empty for one that has ended."""
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []

"""Programs in processes of their own: started, waited for, ended; what they said stays in a log."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ov2_bench.errors import RunError
from ov2_bench.testbed.mosquitto import mosquitto
from ov2_bench.testbed.ports import free_port
from ov2_bench.testbed.program import LAST_LINES, Program

SAYS_AND_STAYS = "import pathlib, signal; print('here', flush=True); pathlib.Path('{up}').touch(); signal.pause()"


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Program]:
    """A program of Python code that is ready when the file `{up}` is there."""
    up = tmp_path / "up"

    def program(code: str, **more: Any) -> Program:
        command = [sys.executable, "-c", code.replace("{up}", str(up))]
        prepare = lambda: up.unlink(missing_ok=True)  # noqa: E731
        return Program("helper", command, tmp_path / "helper.log", up.exists, prepare=prepare, **more)

    return program


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("disk_may_fill", [False, True])
def test_a_program_is_up_once_it_is_ready_and_gone_when_the_block_ends(
    make: Callable[..., Program], *, disk_may_fill: bool
) -> None:
    async def main() -> None:
        async with make(SAYS_AND_STAYS, disk_may_fill=disk_may_fill) as program:
            pid = program.pid
            assert (program.is_up, program.own_status, exists(pid)) == (True, None, True)
        assert (program.is_up, program.status, exists(pid)) == (False, -signal.SIGTERM, False)
        assert program.log.read_text() == "here\n"
        assert (program.num_starts, program.num_own_ends) == (1, 0)

    asyncio.run(main())


def test_one_that_ends_at_once_is_told_with_its_last_words(make: Callable[..., Program]) -> None:
    program = make("import sys; [print('line', n, flush=True) for n in range(100)]; sys.exit('no such camera')")
    with pytest.raises(RunError) as error:
        asyncio.run(program.start())
    lines = str(error.value).splitlines()
    assert lines[0] == f"helper: expected it to start, it ended with status 1; the end of {program.log}:"
    assert len(lines) == 1 + LAST_LINES
    assert "no such camera" in lines
    assert (program.is_up, program.num_own_ends) == (False, 1)


def test_one_that_is_not_ready_in_time_is_ended(make: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ov2_bench.testbed.program.START_S", 0.0)
    program = make("import signal; signal.pause()")
    with pytest.raises(RunError, match="was not ready within 0 s"):
        asyncio.run(program.start())
    assert program.status == -signal.SIGKILL


def test_its_log_goes_on_over_starts_and_each_traceback_counts_once(make: Callable[..., Program]) -> None:
    async def main() -> None:
        program = make(SAYS_AND_STAYS.replace("'here'", "'Traceback (most recent call last)'"))
        program.log.write_text("Traceback (most recent call last): of yesterday\n")
        for count in (1, 2, 3):
            await program.start()
            assert program.tracebacks() == program.tracebacks() == count
            await program.end(signal.SIGKILL)
        assert program.num_starts == 3

    asyncio.run(main())


@pytest.mark.parametrize("disk_may_fill", [False, True])
def test_only_one_whose_disk_may_fill_starts_with_that_signal_ignored(tmp_path: Path, *, disk_may_fill: bool) -> None:
    async def main() -> None:
        log = tmp_path / "helper.log"
        async with Program("helper", ["grep", "SigIgn", "/proc/self/status"], log, disk_may_fill=disk_may_fill) as program:
            assert await program.wait() == 0
        ignored = int(log.read_text().split()[1], 16)
        assert bool(ignored & 1 << (signal.SIGXFSZ - 1)) == disk_may_fill
        assert program.num_own_ends == 1

    asyncio.run(main())


def test_a_broker_that_is_not_installed_is_told_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("ov2_bench.testbed.mosquitto.SBIN", tmp_path / "mosquitto")
    with pytest.raises(RunError, match=r"expected the program mosquitto, found none; scripts/system_packages.sh"):
        mosquitto(tmp_path, free_port())

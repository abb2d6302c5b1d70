"""Programs that tests start end with them: asked first, then killed. Real programs that do not listen."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from conftest import RtspServer
from mqtt_fixtures import Mosquitto, mosquitto
from stopping import running, stop

__all__ = ["mosquitto"]

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
POLITE = (
    "import sys, signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit('bye'))\nprint('up', flush=True)\nsignal.pause()"
)
READS = "import sys; print('up', flush=True); sys.stdin.read(); print('last words')"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stopping.STOP_S", 0.2)


def started(code: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", [signal.SIGTERM, None])
def test_a_program_that_does_not_listen_is_killed(how: signal.Signals | None) -> None:
    process = started(DEAF)
    stop(process, how)
    assert process.returncode == -signal.SIGKILL


def test_a_program_that_listens_ends_in_order() -> None:
    process = started(POLITE)
    stop(process)
    assert process.returncode == 1
    process = started(READS)
    assert stop(process, None) == "last words\n"
    assert process.returncode == 0
    stop(process)
    assert process.returncode == 0, "one that has ended is let be"


@pytest.mark.usefixtures("impatient")
def test_a_program_ends_with_the_test_that_fails() -> None:
    begun: list[subprocess.Popen[str]] = []

    def fail() -> None:
        with running([sys.executable, "-c", DEAF], stdout=subprocess.PIPE) as process:
            begun.append(process)
            assert process.stdout is not None
            process.stdout.readline()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert begun[0].returncode == -signal.SIGKILL


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_hangs_is_killed_and_starts_again(mosquitto: Mosquitto) -> None:
    assert mosquitto.process is not None
    hung = mosquitto.process
    hung.send_signal(signal.SIGSTOP)
    mosquitto.stop()
    assert hung.returncode == -signal.SIGKILL
    mosquitto.start()


@pytest.mark.usefixtures("impatient")
def test_an_rtsp_server_that_does_not_mind_its_input_is_killed(rtsp_server: RtspServer) -> None:
    deaf = started(DEAF)
    rtsp_server.running.append(deaf)
    rtsp_server.close()
    assert deaf.returncode == -signal.SIGKILL

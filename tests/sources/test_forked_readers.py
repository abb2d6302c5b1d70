"""Readers that are forked from a template: each dies alone, tells how, outlives the template and not its owner, and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from child_environment import child_environment
from clips import write_clip
from reader_family import READER, descriptors_of, is_over, readers_of, templates_of
from stopping import running
from supervised import WAIT_S, reader
from waiting import until

from stream.errors import SourceError
from stream.sources.forked import Forker, can_fork
from stream.sources.options import OpenOptions
from stream.sources.readerprocess import FORKER, ReaderConnection, ReaderConnector
from stream.sources.template import NUM_DESCRIPTORS

pytestmark = pytest.mark.skipif(not can_fork(), reason="this system cannot fork readers from a template")

NUM_MANY = 40
ENDLESS = OpenOptions(loop=True, paced=True)
OWNER = """
import os, sys
from supervised import reader
from stream.sources.options import OpenOptions
connectors = [reader({clip!r}, options=OpenOptions(loop=True, paced=True)) for _ in range(3)]
connections = [each.connect() for each in connectors]
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", num_frames=30, fps=30)


@pytest.fixture
def pair(clip: Path) -> Iterator[list[ReaderConnector]]:
    connectors = [reader(str(clip), options=ENDLESS) for _ in range(2)]
    yield connectors
    for connector in connectors:
        connector.close()


def begun(connector: ReaderConnector) -> tuple[ReaderConnection, psutil.Process]:
    """A connection that gives samples, and the process behind it."""
    before = {each.pid for each in readers_of(os.getpid())}
    connection = connector.connect()
    assert connection.get(WAIT_S) is not None
    [process] = [each for each in readers_of(os.getpid()) if each.pid not in before]
    return connection, process


def read_to_the_end(connection: ReaderConnection) -> None:
    while connection.get(WAIT_S) is not None:
        pass


def template() -> psutil.Process:
    [found] = templates_of(os.getpid())
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_reader_that_dies_tells_how_and_costs_its_siblings_nothing(pair: list[ReaderConnector], how: signal.Signals) -> None:
    (first, process), (second, sibling) = (begun(connector) for connector in pair)
    of_both = template()
    process.send_signal(how)
    with pytest.raises(SourceError, match=rf"the reader ended unexpectedly \(exit status -{how.value}\)"):
        read_to_the_end(first)
    assert not process.is_running()
    assert second.get(WAIT_S) is not None
    assert sibling.is_running()
    assert begun(pair[0])[1].parent() == of_both


def test_a_template_that_dies_takes_no_reader_along_and_the_next_connection_has_another(pair: list[ReaderConnector]) -> None:
    first, process = begun(pair[0])
    died = template()
    died.kill()
    until(lambda: is_over(died))
    assert first.get(WAIT_S) is not None
    second, _ = begun(pair[1])
    assert template() != died
    assert first.get(WAIT_S) is not None
    process.kill()
    with pytest.raises(SourceError, match=r"ended unexpectedly \(exit status unknown\)"):
        read_to_the_end(first)
    assert second.get(WAIT_S) is not None


def test_a_template_that_hangs_is_replaced_and_its_readers_can_still_be_ended(
    pair: list[ReaderConnector], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.sources.forked._TELL_S", 0.1)
    monkeypatch.setattr("stream.sources.forked._FORK_S", 5.0)
    FORKER.end()
    first, process = begun(pair[0])
    hung = template()
    hung.suspend()
    _, sibling = begun(pair[1])
    assert not hung.is_running()
    assert first.get(WAIT_S) is not None
    hung = template()
    hung.suspend()
    try:
        for connector in pair:
            connector.close()
        assert is_over(process)
        assert is_over(sibling)
    finally:
        hung.resume()


def test_connections_that_find_the_template_dead_at_once_all_get_a_reader(clip: Path) -> None:
    connectors = [reader(str(clip), options=ENDLESS) for _ in range(8)]
    begun(connectors[0])
    together = threading.Barrier(len(connectors) - 1)

    def connect(connector: ReaderConnector) -> bool:
        together.wait()
        return connector.connect().get(WAIT_S) is not None

    template().kill()
    with ThreadPoolExecutor(len(connectors)) as pool:
        assert all(pool.map(connect, connectors[1:]))
    assert len(template().children()) == len(connectors) - 1
    for connector in connectors:
        connector.close()


@pytest.mark.parametrize("template_lives", [True, False])
def test_an_owner_that_is_killed_leaves_no_process_though_one_should_be_stopped(clip: Path, *, template_lives: bool) -> None:
    code = OWNER.format(clip=str(clip)) + "print('ready', flush=True)\nsys.stdin.read()"
    pipe = subprocess.PIPE
    with running([sys.executable, "-c", code], stdin=pipe, stdout=pipe, env=child_environment()) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        templates, readers = templates_of(owner.pid), readers_of(owner.pid)
        assert (len(templates), len(readers)) == (1, 3)
        if template_lives:
            readers[0].suspend()  # it does not see that its owner has gone
        else:
            templates[0].kill()
        owner.kill()
    gone, alive = psutil.wait_procs(templates + readers, timeout=WAIT_S)
    assert (len(gone), alive) == (4, [])


def test_an_owner_that_ends_in_order_leaves_no_process_either(clip: Path) -> None:
    code = OWNER.format(clip=str(clip)) + (
        "from reader_family import readers_of, templates_of\n"
        "print(*[each.pid for each in templates_of(os.getpid()) + readers_of(os.getpid())])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WAIT_S, env=child_environment())
    assert done.stderr == ""
    numbers = [int(each) for each in done.stdout.split()]
    assert len(numbers) == 4
    until(lambda: not any(psutil.pid_exists(number) for number in numbers))


def test_where_orphans_come_to_the_owner_it_knows_how_they_ended_without_a_template(clip: Path) -> None:
    """As the first process of a container does."""
    code = OWNER.format(clip=str(clip)) + (
        "import ctypes\n"
        "PR_SET_CHILD_SUBREAPER = 36\n"
        "assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0\n"
        "from reader_family import is_over, readers_of, templates_of\n"
        "from waiting import until\n"
        "readers, [template] = readers_of(os.getpid()), templates_of(os.getpid())\n"
        "template.kill()\n"
        "until(lambda: is_over(template))\n"
        "for each in readers: each.terminate()\n"
        "try:\n"
        "    while connections[0].get(20.0): pass\n"
        "except Exception as error: print(error)\n"
        "for connector in connectors: connector.close()\n"
        "print(readers_of(os.getpid()), [each.is_running() for each in readers])\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WAIT_S, env=child_environment())
    assert "the reader ended unexpectedly (exit status -15)\n" in done.stdout
    assert done.stdout.endswith("[] [False, False, False]\n"), "and it buries them"


def test_forty_readers_leave_no_descriptor_and_no_process_behind(clip: Path) -> None:
    with closing(reader(str(clip))) as warm:
        read_to_the_end(warm.connect())
    del warm
    gc.collect()
    ours, of_template = descriptors_of(os.getpid()), descriptors_of(template().pid)
    connectors = [reader(str(clip), options=ENDLESS) for _ in range(NUM_MANY)]
    with ThreadPoolExecutor(8) as pool:
        connections = list(pool.map(ReaderConnector.connect, connectors))
        assert all(pool.map(lambda each: each.get(WAIT_S), connections))
        readers = readers_of(os.getpid())
        assert len(readers) == NUM_MANY
        list(pool.map(ReaderConnector.close, connectors))
    assert not any(each.is_running() for each in readers)
    del connectors, connections
    gc.collect()
    assert descriptors_of(os.getpid()) == ours
    until(lambda: descriptors_of(template().pid) == of_template)


def test_a_reader_holds_nothing_of_its_siblings_or_of_the_template(pair: list[ReaderConnector], clip: Path) -> None:
    processes = [begun(connector)[1] for connector in pair]
    for process in processes:
        held = [what for number, what in sorted(descriptors_of(process.pid).items()) if number > 2]
        assert len(held) == 2
        assert str(clip) in held, "the film, and the socket to the owner"
        assert os.getsid(process.pid) == process.pid
    assert psutil.Process(template().pid).num_threads() == 1


def test_nothing_of_a_reader_or_its_template_shows_a_password(clip: Path, tmp_path: Path) -> None:
    named = tmp_path / "hunter2.mp4"
    named.symlink_to(clip)
    with closing(reader(str(named), options=ENDLESS)) as connector:
        _, process = begun(connector)
        for each in (process, template()):
            shown = (*each.cmdline(), *each.environ(), *each.environ().values())
            assert "hunter2" not in " ".join(shown)


def test_a_reader_works_where_its_owner_does_now(
    pair: list[ReaderConnector], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(pair[0])
    monkeypatch.chdir(clip.parent)
    with closing(reader(clip.name)) as connector:
        assert connector.connect().get(WAIT_S) is not None


def test_a_system_that_gives_no_process_is_an_error_of_that_camera_alone(pair: list[ReaderConnector]) -> None:
    connection, _ = begun(pair[0])
    of_both = template()
    limits, taken = of_both.rlimit(psutil.RLIMIT_NOFILE), descriptors_of(of_both.pid)
    free = [number for number in range(len(taken) + NUM_DESCRIPTORS + 1) if number not in taken]
    of_both.rlimit(psutil.RLIMIT_NOFILE, (free[NUM_DESCRIPTORS], limits[1]))  # a request fits, a handle does not
    with pytest.raises(SourceError, match=r"no process could be had to read it \(.*Too many open files\)"):
        pair[1].connect()
    assert len(of_both.children()) == 1
    of_both.rlimit(psutil.RLIMIT_NOFILE, limits)
    assert connection.get(WAIT_S) is not None
    assert begun(pair[1])[1].parent() == of_both


def test_a_template_is_no_longer_there_once_it_was_ended() -> None:
    forker = Forker(READER)
    ours, process = forker.fork()
    before = templates_of(os.getpid())
    with ours:
        assert not process.wait(0.0)
        forker.end()
        assert process.wait(WAIT_S)
    assert len(templates_of(os.getpid())) == len(before) - 1
    forker.end()


def test_where_the_system_cannot_fork_each_reader_is_a_program(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    assert not can_fork()
    connectors = [reader(str(clip), options=ENDLESS) for _ in range(2)]
    (first, process), (second, sibling) = (begun(connector) for connector in connectors)
    assert process.parent() == sibling.parent() == psutil.Process()
    process.kill()
    with pytest.raises(SourceError, match=r"ended unexpectedly \(exit status -9\)"):
        read_to_the_end(first)
    assert second.get(WAIT_S) is not None
    for connector in connectors:
        connector.close()
    assert not sibling.is_running()

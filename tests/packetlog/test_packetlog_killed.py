"""A recording process that is killed: what is left on the disk is bit for bit what was sent."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packetlog_cases import VICTIM, packet, packets, read, unmarked, write
from stopping import running

from stream.packetlog import PacketLog, PacketLogWriter, Recorded, Start
from stream.packetlog.segments import segments_of
from stream.units import Packet

KILL_ROUNDS = 3


@pytest.mark.parametrize(("size", "soonest_s"), [(150_000, 0.2), (2_000, 1.4)])
def test_a_process_killed_in_mid_write_loses_a_second_at_most_and_the_rest_is_bit_for_bit(
    tmp_path: Path, size: int, soonest_s: float
) -> None:
    """Large packets are cut in the middle; small ones would wait longest for the disk."""
    chance = random.Random(size)
    killed: dict[str, tuple[int, int]] = {}
    for number in range(KILL_ROUNDS):
        command = [sys.executable, str(VICTIM), "camera", str(tmp_path), str(number), str(size)]
        with running(command, stdout=subprocess.PIPE) as victim:
            assert victim.stdout is not None
            lines = [victim.stdout.readline()]
            due_s = float(lines[0].split()[1]) + soonest_s + chance.uniform(0.0, 0.8)
            while float(lines[-1].split()[1]) < due_s:
                lines.append(victim.stdout.readline())
            killed_s = time.time()  # before it: it lived at least until then
            victim.kill()
            lines += victim.stdout.readlines()
        at = [float(line.split()[1]) for line in lines if line.endswith("\n")]
        killed[str(number)] = (sum(one < killed_s - 1.0 for one in at), len(at) + 1)
    found: dict[str, list[Packet]] = {}
    for entry in PacketLog(tmp_path).entries():
        if isinstance(entry, Start):
            found[name := entry.camera] = []
        elif isinstance(entry, Recorded):
            found[name].append(entry.packet)
    for name, (least, most) in killed.items():
        recorded = found.get(name, [])
        assert least <= len(recorded) <= most
        assert recorded == packets(len(recorded), size=size, seed=int(name))
    PacketLogWriter(tmp_path).close()
    again = [entry.packet for entry in PacketLog(tmp_path).entries() if isinstance(entry, Recorded)]
    assert again == [each for one in found.values() for each in one]


def test_half_a_batch_on_the_disk_is_cut_where_its_last_whole_record_ends(tmp_path: Path) -> None:
    """The same, killed surely in the middle of a write: the header's, the start's, then a batch's."""
    num_torn = 0
    for number in range(6):
        done = subprocess.run(
            [sys.executable, str(VICTIM), "torn", str(tmp_path / str(number)), str(number), "2000"],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        num_sent = len(done.stdout.splitlines())
        found = read(tmp_path / str(number))
        assert num_sent - 110 < len(found) <= num_sent + 1
        assert found == packets(len(found), size=2_000, seed=number)
        write(tmp_path / str(number), packets(1))
        log = PacketLog(tmp_path / str(number))
        assert unmarked(log.packets()) == [*found, packet(0)]
        num_torn += log.num_damaged
    assert num_torn >= 4


def test_a_torn_tail_marks_nothing_of_the_recording_after_it(tmp_path: Path) -> None:
    write(tmp_path, packets(5))
    (torn,) = segments_of(tmp_path)
    torn.path.write_bytes(torn.path.read_bytes()[:-7])
    write(tmp_path, packets(5, first=5))
    log = PacketLog(tmp_path)
    assert [entry.packet for entry in log.entries() if isinstance(entry, Recorded)] == packets(4) + packets(5, first=5)
    assert (log.num_damaged, log.damaged_bytes > 400) == (1, True)

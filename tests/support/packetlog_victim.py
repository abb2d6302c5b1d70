"""A recording process to be killed, or to be given a full disk: `python packetlog_victim.py camera|torn|disk FOLDER [SEED BYTES]`.

camera: records packets of so many bytes for ever, and prints the number of every packet and the time when it was handed over.
torn: the same, but kills itself with half a batch written: a write to a real disk takes longer than one to memory.
disk: records while no file may grow past a limit, then without the limit; prints what was dropped.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from packetlog_cases import packet
from waiting import until

from stream.packetlog import PacketLogSettings, PacketLogWriter, segmentfile

STEP_S = 0.004
FILE_LIMIT = 100_000
SMALL_BYTES = 3_000


def camera(folder: Path, seed: int, size: int) -> None:
    settings = PacketLogSettings(segment_bytes=4 << 20)
    with PacketLogWriter(folder, settings, camera=str(seed)) as writer:
        number = 0
        while True:
            each = packet(number, size=size, seed=seed)
            writer.put(each)
            os.write(1, f"{number} {time.time()}\n".encode())
            number += 1
            time.sleep(STEP_S)


def torn(folder: Path, seed: int, size: int) -> None:
    chance, write, num_writes = random.Random(seed), os.write, 0

    def dies(fd: int, data: memoryview) -> int:
        nonlocal num_writes
        num_writes += fd != 1
        if num_writes < 4:
            return write(fd, data)
        write(fd, data[: chance.randrange(1, len(data))])
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("expected to be dead")

    segmentfile.os = SimpleNamespace(**vars(os) | {"write": dies})  # type: ignore[attr-defined]
    camera(folder, seed, size)


def disk(folder: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with PacketLogWriter(folder) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, hard))
        number = 0
        while not writer.drops:
            writer.put(packet(number, size=SMALL_BYTES))
            number += 1
            time.sleep(STEP_S)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        before = writer.num_packets
        while writer.num_packets < before + 20:
            writer.put(packet(number, size=SMALL_BYTES))
            number += 1
            time.sleep(STEP_S)
    until(lambda: writer.num_packets + sum(writer.drops.values()) == number)
    print(number, writer.num_packets, sum(writer.drops.values()), *writer.drops)


if __name__ == "__main__":
    mode, where = sys.argv[1], Path(sys.argv[2])
    if mode == "disk":
        disk(where)
    else:
        {"camera": camera, "torn": torn}[mode](where, int(sys.argv[3]), int(sys.argv[4]))

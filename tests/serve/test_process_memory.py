"""A service's memory does not grow with the number of threads that were busy at once."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

BUSY = """
import ctypes, sys, threading
from stream.serve.process_memory import bound_arenas
bound_arenas()

barrier = threading.Barrier(16)
def busy():
    barrier.wait()
    blocks = [bytes(2000) for _ in range(20000)]
    barrier.wait()
threads = [threading.Thread(target=busy) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's")
def test_sixteen_busy_threads_share_two_arenas() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    told = subprocess.run(
        [sys.executable, "-c", BUSY], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert 1 <= told.stdout.count("<heap nr=") <= 2, told.stdout[:2000]


BURST = """
import random
from stream.serve.process_memory import give_back
def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4 // 1024
dice = random.Random(1)
blocks = [bytes(dice.randrange(600, 20000)) for _ in range(30000)]
kept = blocks[::100]
del blocks
before = resident_mb()
give_back()
print(before, resident_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators decide for themselves")
def test_what_a_burst_left_between_what_stays_goes_back_to_the_system() -> None:
    told = subprocess.run([sys.executable, "-c", BURST], capture_output=True, text=True, check=True, timeout=120)
    before_mb, after_mb = map(int, told.stdout.split())
    assert before_mb - after_mb > 100, told.stdout

"""A service's memory does not grow with the number of threads that were busy at once."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

BUSY = """
import ctypes, sys, threading
from stream.serve.run import bound_arenas
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

"""What a process that runs for months does about its memory, beside what bounds it: how much of what was freed it keeps.

In: nothing. Out: settings of the collector and of glibc's allocator; other C libraries have none of the kind, and are left alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os

M_ARENA_MAX = -8
"""Of glibc's malloc.h."""
ARENAS = 2


def bound_arenas() -> None:
    """glibc gives every thread that finds the others busy an arena of its own, up to eight for each core, and keeps what is freed in each of
    them: memory then grows with the number of threads that were ever busy at once. Two are enough for threads that mostly hold Python's
    lock. `MALLOC_ARENA_MAX` of the environment goes first."""
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Pages that hold nothing any more, between what does, go back to the system: glibc keeps those of a burst for ever otherwise. Takes some
    30 ms behind a burst of 700 MB and nothing where there was none."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def settle() -> None:
    """What has been loaded stays as long as the process, and is half a million objects: Python's collector would look through all of them
    every now and then, and hold every thread for some 0.2 to 0.6 s while it does."""
    gc.collect()
    gc.freeze()

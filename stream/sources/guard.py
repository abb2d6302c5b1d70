"""What keeps a reader process small, whatever it is sent.

FFmpeg puts an access unit together out of packets of any number, in one block of memory that grows until its end comes; nothing of ours
sees it before. So the largest block that FFmpeg may have is that of the largest access unit: a unit that needs a larger one is thrown away,
FFmpeg says so in its log, and goes on; `on_large_unit` hears it. All memory together is bounded by the system.

In: `IngestLimits`, once per process. Out: the bounds, in force.
"""

from __future__ import annotations

import ctypes
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path

import av

from stream.sources.limits import MIB, IngestLimits

_LEAST_BLOCK_BYTES = 16 * MIB
"""FFmpeg has blocks of its own: 5 MB of datagrams, as much to find out what a stream is, a plane of a 4K picture."""
_PADDING_BYTES = 64 << 10
"""What FFmpeg adds to a packet's bytes."""
_GROWN_TOO_LARGE = "Failed to reallocate parser buffer"
"""What FFmpeg's parsers say (libavcodec/parser.c) when an access unit does not fit."""
_DATA = re.compile(r"^VmData:\s+(\d+) kB$", re.MULTILINE)


class _Listening(logging.Handler):
    def __init__(self, on_large_unit: Callable[[], None]) -> None:
        super().__init__()
        self._on_large_unit = on_large_unit

    def emit(self, record: logging.LogRecord) -> None:
        if _GROWN_TOO_LARGE in record.getMessage():
            self._on_large_unit()


def bound_blocks(limits: IngestLimits) -> None:
    """No block of FFmpeg's in this process is larger than an access unit may be."""
    most_bytes = max(limits.access_unit_bytes, _LEAST_BLOCK_BYTES) + _PADDING_BYTES
    ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(most_bytes))


def bound_memory(limits: IngestLimits) -> None:
    """This process gets so much memory beyond what it has now, and no more (Linux; elsewhere the system has no such bound)."""
    if sys.platform != "linux":
        return
    import resource

    found = _DATA.search(Path("/proc/self/status").read_text())
    assert found is not None, "/proc/self/status: expected a line VmData, got none"
    most_bytes = int(found[1]) * 1024 + int(limits.reader_memory_mb * MIB)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard), hard))


def hear_large_units(on_large_unit: Callable[[], None]) -> None:
    """`on_large_unit` is called inside FFmpeg, by the thread that reads; nothing that it raises comes out of there."""
    log = logging.getLogger("libav")
    log.handlers[:], log.propagate = [_Listening(on_large_unit)], False
    av.logging.set_level(av.logging.ERROR)

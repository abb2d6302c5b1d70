"""Where a file of records goes on behind damage.

In: a file, where to look from, the mark that every record begins with, and what tells whether a record is whole. Out: the first whole
record. Packet logs and the memory both step over what is damaged this way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, TypeVar

_CHUNK_BYTES = 1 << 16
"""Bytes read at a time."""
Found = TypeVar("Found")


def next_whole(file: BinaryIO, at: int, sync: bytes, whole: Callable[[int], Found | None]) -> Found | None:
    """The first record that begins with `sync` at or behind `at`, and of which `whole` says what it holds. None where there is none (yet):
    the tail of a file that grows looks the same."""
    found = _find(file, at, sync)
    while found is not None:
        if (record := whole(found)) is not None:
            return record
        found = _find(file, found + 1, sync)
    return None


def _find(file: BinaryIO, at: int, sync: bytes) -> int | None:
    while True:
        file.seek(at)
        chunk = file.read(_CHUNK_BYTES)
        if (found := chunk.find(sync)) >= 0:
            return at + found
        if len(chunk) < _CHUNK_BYTES:
            return None
        at += _CHUNK_BYTES - len(sync) + 1

"""The files of a packet log's folder: their names and their order.

In: a folder. Out: its segments, oldest first.

A segment's name holds its place in the order and the seed of its sums: `segment-00000012-9f3a2c1d.ov2log`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stream.errors import PacketLogError
from stream.packetlog.framing import FORMAT_VERSION, HEADER_BYTES, format_version

LOCK_NAME = "writer.lock"
_NAME = re.compile(r"segment-(\d{8,})-([0-9a-f]{8})\.ov2log")


class Segment(NamedTuple):
    """One segment file. `index_path`: where its index lies once it is finished."""

    sequence: int
    seed: int
    path: Path

    @property
    def index_path(self) -> Path:
        return self.path.with_suffix(".index")


def is_of_a_log(name: str) -> bool:
    """Whether a file of this name says that its folder is a packet log's."""
    return name == LOCK_NAME or _NAME.fullmatch(name) is not None


def segment_in(folder: Path, sequence: int, seed: int) -> Segment:
    return Segment(sequence, seed, folder / f"segment-{sequence:08d}-{seed:08x}.ov2log")


def segments_of(folder: Path) -> list[Segment]:
    """Oldest first. Raises `PacketLogError` for a folder that cannot be listed."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError as error:
        raise PacketLogError(f"packet log {folder}: expected a folder with a recording, got {error.strerror}") from None
    matches = [(match, name) for name in names if (match := _NAME.fullmatch(name))]
    return sorted(Segment(int(match[1]), int(match[2], 16), folder / name) for match, name in matches)


def check_segments(segments: Iterable[Segment]) -> None:
    """Raises `PacketLogError` where one of them is of a newer format, or cannot be read."""
    for segment in segments:
        try:
            with segment.path.open("rb") as file:
                check_version(segment, file.read(HEADER_BYTES))
        except FileNotFoundError:
            continue  # the writer has deleted it just now
        except OSError as error:
            raise PacketLogError(f"packet log {segment.path}: cannot be read ({error.strerror})") from None


def check_version(segment: Segment, header: bytes) -> None:
    """Raises `PacketLogError` for a segment of a newer format; one whose header is damaged is read for what it holds."""
    version = format_version(header[:HEADER_BYTES])
    if version is not None and version > FORMAT_VERSION:
        raise PacketLogError(
            f"packet log {segment.path}: expected format version {FORMAT_VERSION} or older, got {version}; "
            "update this software, or move the file away"
        )

"""The pictures of a clip while it is made: their bytes wait on the disk, only their times in memory.

In: placed packets. Out: the same times, and the bytes again in the same order. The file has no name: it goes with the process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from stream.packetlog.timing import Placed
from stream.units import Packet


class Picture(NamedTuple):
    """`at_s`: seconds from the clip's first picture. `shown_s`: its own wall time."""

    at_s: float
    shown_s: float
    is_key: bool
    num_bytes: int


class Spool:
    """Belongs to one thread. `first` is the first packet, whole: it says what the others are. Raises `OSError` when the disk is full."""

    def __init__(self, folder: Path) -> None:
        self.pictures: list[Picture] = []
        self.first: Packet | None = None
        self.num_bytes = 0
        self._file = tempfile.TemporaryFile(dir=folder, prefix="ov2-spool-")  # noqa: SIM115 - closed by close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def put(self, placed: Placed) -> None:
        packet = placed.packet
        if self.first is None:
            self.first = packet
        self._file.write(packet.data)
        self.num_bytes += len(packet.data)
        self.pictures.append(Picture(placed.at_s, placed.shown_s, packet.is_key, len(packet.data)))

    def clear(self) -> None:
        """Begin again with nothing."""
        self._file.seek(0)
        self._file.truncate()
        self.pictures, self.first, self.num_bytes = [], None, 0

    def data(self) -> Iterator[bytes]:
        """The bytes of every picture, in the order of `pictures`."""
        self._file.seek(0)
        for picture in self.pictures:
            yield self._file.read(picture.num_bytes)

    def close(self) -> None:
        self._file.close()

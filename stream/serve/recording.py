"""A camera of the service recorded: its settings, and what its thread calls.

In: `record:` of a camera's configuration; packets as the tokenizer takes them. Out: a packet log, clips of it. Trouble with the log is told
and counted; the camera goes on.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from stream.errors import PacketLogError
from stream.packetlog import Clip, PacketLog, PacketLogSettings, PacketLogWriter, cut_clip
from stream.packetlog.clip import MAX_CLIP_BYTES
from stream.packetlog.log import LogRange
from stream.packetlog.record import SteerAction
from stream.packetlog.when import moment
from stream.section import LONGEST_DAYS, LONGEST_S, Section
from stream.serve.folders import recording_folder
from stream.tokenizer.settings import TokenizerSettings
from stream.units import Packet

log = logging.getLogger(__name__)

CLOSE_S = 2.0
"""Longest wait for the disk when a camera stops; what is not written by then is lost, as in a crash."""
SETTLED_S = 2.0
"""So long after a picture, none comes any more that is shown before it."""
_DEFAULT = PacketLogSettings()


class RecordSettings(Section):
    """Where and how much of a camera's packets is kept on disk."""

    folder: Annotated[Path, AfterValidator(recording_folder)] = Field(
        description="folder of this camera's packet log, relative to the data folder; no other camera may have the same"
    )
    max_bytes: int = Field(
        default=_DEFAULT.max_bytes, ge=1 << 20, le=1 << 50, description="most bytes on disk; the oldest minutes go first"
    )
    max_age_s: float | None = Field(
        default=None, ge=1.0, le=LONGEST_DAYS * LONGEST_S, description="nothing that was written longer ago is kept"
    )
    segment_bytes: int = Field(
        default=_DEFAULT.segment_bytes, ge=1 << 16, le=1 << 40, description="a file ends at the next key frame"
    )
    segment_s: float = Field(default=_DEFAULT.segment_s, ge=1.0, le=LONGEST_S, description="the same by time")

    def within(self, data: Path) -> RecordSettings:
        """The same with a relative folder in the data folder."""
        return self.model_copy(update={"folder": data / self.folder})

    @property
    def log_settings(self) -> PacketLogSettings:
        return PacketLogSettings(**self.model_dump(exclude={"folder"}))


class Stretch(NamedTuple):
    """A stretch of a log: UTC epoch seconds, and what the log covered when it was asked for."""

    start_s: float
    end_s: float
    covers: LogRange | None

    @property
    def identity(self) -> tuple[float | None, ...]:
        """What a clip of it depends on: the same for two stretches that are the same pictures. Near the log's end more may come."""
        if self.covers is None:
            return self.start_s, self.end_s
        newest_s = self.covers.end_s if self.end_s > self.covers.end_s - SETTLED_S else None
        return max(self.start_s, self.covers.start_s), min(self.end_s, self.covers.end_s), newest_s


class Recorder:
    """Belongs to the camera's thread, but for `stretch`, `cut` and `drops`. `refused`: why nothing is recorded at all, None while all is
    well."""

    def __init__(
        self,
        name: str,
        settings: RecordSettings,
        tokenizer: TokenizerSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.folder = settings.folder
        self.refused: str | None = None
        self._num_refused = 0
        self._readers: list[PacketLog] = []
        self._writer: PacketLogWriter | None = None
        try:
            self._writer = PacketLogWriter(
                settings.folder, settings.log_settings, camera=name, tokenizer=asdict(tokenizer), clock=clock
            )
        except PacketLogError as error:
            self.refused = str(error)
            log.error("camera %s: nothing is recorded: %s", name, error)

    def put(self, packet: Packet, widen: float) -> None:
        """Right before `tokenizer.push(packet)`, with the factor last given to `tokenizer.widen`. Never waits."""
        if self._writer is None:
            self._num_refused += 1
        else:
            self._writer.put(packet, widen)

    def steer(self, action: SteerAction, value: float = 0.0) -> None:
        """Right before `tokenizer.advance(value)`, `force()` or `flush()`."""
        if self._writer is not None:
            self._writer.steer(action, value)

    def restart(self, tokenizer: TokenizerSettings) -> None:
        """A new tokenizer takes over."""
        if self._writer is not None:
            self._writer.restart(asdict(tokenizer))

    @property
    def drops(self) -> Counter[str]:
        """Packets that are not in the log, by reason; and stretches of it that a clip met and that are damaged."""
        num_damaged = sum(reader.num_damaged for reader in tuple(self._readers))
        lost = +Counter({"log_refused": self._num_refused, "log_damaged": num_damaged})
        return lost + (self._writer.drops if self._writer is not None else Counter())

    def stretch(self, start: str, end: str) -> Stretch:
        """Two moments as people write them (`-30`: before the log's end). From any thread; reads the disk. Raises `PacketLogError`."""
        with self._reading() as reader:
            covers = reader.range()
            return Stretch(moment(start, covers), moment(end, covers), covers)

    def cut(self, stretch: Stretch, out_path: Path, *, max_bytes: int = MAX_CLIP_BYTES) -> Clip:
        """Cut a clip, in the caller's thread: reading and writing block. Raises `PacketLogError`."""
        with self._reading() as reader:
            return cut_clip(reader, stretch.start_s, stretch.end_s, out_path, max_bytes=max_bytes)

    @contextmanager
    def _reading(self) -> Iterator[PacketLog]:
        """A reader that no other thread has: as many are made as are needed at once, and kept with what they know of the log."""
        try:
            reader = self._readers.pop()
        except IndexError:
            reader = PacketLog(self.folder)
        try:
            yield reader
        finally:
            self._readers.append(reader)

    def close(self) -> bool:
        """Bring what waits to the disk. False when it took too long."""
        return self._writer is None or self._writer.close(CLOSE_S)

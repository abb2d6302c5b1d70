"""A camera of the service recorded: its settings, and what its thread calls.

In: `record:` of a camera's configuration; packets as the tokenizer takes them. Out: a packet log, clips of it. Trouble with the log is told
and counted; the camera goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from stream.errors import PacketLogError
from stream.packetlog import Clip, PacketLog, PacketLogSettings, PacketLogWriter, cut_clip
from stream.packetlog.record import SteerAction
from stream.packetlog.when import moment
from stream.tokenizer.settings import TokenizerSettings
from stream.units import Packet

log = logging.getLogger(__name__)

CLOSE_S = 2.0
"""Longest wait for the disk when a camera stops; what is not written by then is lost, as in a crash."""
_DEFAULT = PacketLogSettings()


class RecordSettings(BaseModel):
    """Where and how much of a camera's packets is kept on disk."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    folder: Path = Field(
        description="folder of this camera's packet log, relative to the data folder; no other camera may have the same"
    )
    max_bytes: int = Field(
        default=_DEFAULT.max_bytes, ge=1 << 20, description="most bytes on disk; the oldest minutes go first"
    )
    max_age_s: float | None = Field(default=None, ge=1.0, description="nothing that was written longer ago is kept")
    segment_bytes: int = Field(default=_DEFAULT.segment_bytes, ge=1 << 16, description="a file ends at the next key frame")
    segment_s: float = Field(default=_DEFAULT.segment_s, ge=1.0, description="the same by time")

    def within(self, data: Path) -> RecordSettings:
        """The same with a relative folder in the data folder."""
        return self.model_copy(update={"folder": data / self.folder})

    @property
    def log_settings(self) -> PacketLogSettings:
        return PacketLogSettings(**self.model_dump(exclude={"folder"}))


class Recorder:
    """Belongs to the camera's thread, but for `clip` and `drops`. `refused`: why nothing is recorded at all, None while all is well."""

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
        self._cutting = threading.Lock()
        self._log: PacketLog | None = None
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
        num_damaged = self._log.num_damaged if self._log is not None else 0
        lost = +Counter({"log_refused": self._num_refused, "log_damaged": num_damaged})
        return lost + (self._writer.drops if self._writer is not None else Counter())

    def clip(self, start: str, end: str, out_path: Path) -> Clip:
        """Cut a clip between two moments as people write them (`-30`: before the log's end), in the caller's thread: reading and writing
        block, and clips of one camera come one after another. Raises `PacketLogError`."""
        with self._cutting:
            self._log = self._log or PacketLog(self.folder)
            covers = self._log.range()
            return cut_clip(self._log, moment(start, covers), moment(end, covers), out_path)

    def close(self) -> bool:
        """Bring what waits to the disk. False when it took too long."""
        return self._writer is None or self._writer.close(CLOSE_S)

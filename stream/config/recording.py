"""What may be set of the recording of a camera."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from stream.config.folders import recording_folder
from stream.packetlog import PacketLogSettings
from stream.section import LONGEST_DAYS, LONGEST_S, Section

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

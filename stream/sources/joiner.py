"""Pictures that a demuxer cut in pieces, put together again.

FFmpeg ends a picture at a parameter set. Some RTSP servers (GStreamer's with config-interval=-1) send the parameter sets in front
of every slice of a keyframe, so a keyframe of four slices arrives as four packets of one time.

In: packets with their access units, in decode order. Out: the same, whole. The first packet of a connection waits for the next
one to be sure; later ones wait only where the stream has shown that it is cut.
"""

from __future__ import annotations

from typing import NamedTuple

import av

from stream.codec.h264.access_unit import MAX_UNITS, AccessUnit, joined
from stream.sources.limits import IngestLimits


class Picture(NamedTuple):
    """A demuxed packet and the access unit in it."""

    packet: av.Packet[av.VideoStream]
    unit: AccessUnit


class PictureJoiner:
    """Joins the pieces of one connection. `num_late` counts pieces whose picture had already gone on."""

    def __init__(self, limits: IngestLimits) -> None:
        self.num_late = 0
        self._limits = limits
        self._held: Picture | None = None
        self._pieces: list[AccessUnit] = []
        self._num_bytes = 0
        self._last_pts: int | None = None
        self._num_pushed = 0
        self._is_cut = False

    def push(self, picture: Picture) -> list[Picture]:
        """Pictures that are whole, in order: none, one or two. Raises `TooLargeError` for one whose pieces do not end."""
        self._num_pushed += 1
        if self._is_whole(picture):
            self._last_pts = picture.packet.pts
            return [picture]
        if picture.unit.continues and self._num_pushed > 1 and self._last_pts in (picture.packet.pts, None):
            self._is_cut = True
            self._add(picture)
            return []
        self._last_pts = picture.packet.pts
        ready = self.flush()
        if self._num_pushed == 1 or (self._is_cut and picture.unit.starts):
            self._held, self._num_bytes = picture, len(picture.unit.data)
            return ready
        return [*ready, picture]

    def _is_whole(self, picture: Picture) -> bool:
        """The usual case, told quickly: nothing waits, and nothing will come to this picture."""
        return self._held is None and self._num_pushed > 1 and not self._is_cut and not picture.unit.continues

    def _add(self, piece: Picture) -> None:
        if self._held is None:
            self.num_late += 1
            return
        if self._held.packet.pts is None:
            self._held.packet.pts = piece.packet.pts
        self._pieces.append(piece.unit)
        self._num_bytes += len(piece.unit.data)
        self._limits.check_access_unit(self._num_bytes)
        if len(self._pieces) >= MAX_UNITS:
            raise self._limits.large_unit()

    def flush(self) -> list[Picture]:
        """What is still held."""
        held, self._held = self._held, None
        pieces, self._pieces = self._pieces, []
        return [Picture(held.packet, joined(held.unit, *pieces)) if pieces else held] if held is not None else []

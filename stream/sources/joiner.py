"""Pictures that a demuxer cut in pieces, put together again.

FFmpeg ends a picture at a parameter set. Some RTSP servers (GStreamer's with config-interval=-1) send the parameter sets in front
of every slice of a keyframe, so a keyframe of four slices arrives as four packets of one time.

In: packets with their access units, in decode order. Out: the same, whole. The first packet of a connection waits for the next
one to be sure; later ones wait only where the stream has shown that it is cut.
"""

from __future__ import annotations

from typing import NamedTuple

import av

from stream.codec.access_unit import AccessUnit, joined


class Picture(NamedTuple):
    """A demuxed packet and the access unit in it."""

    packet: av.Packet[av.VideoStream]
    unit: AccessUnit


class PictureJoiner:
    """Joins the pieces of one connection. `num_late` counts pieces whose picture had already gone on."""

    def __init__(self) -> None:
        self.num_late = 0
        self._held: Picture | None = None
        self._last_pts: int | None = None
        self._num_pushed = 0
        self._is_cut = False

    def push(self, picture: Picture) -> list[Picture]:
        """Pictures that are whole, in order: none, one or two."""
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
            self._held = picture
            return ready
        return [*ready, picture]

    def _is_whole(self, picture: Picture) -> bool:
        """The usual case, told quickly: nothing waits, and nothing will come to this picture."""
        return self._held is None and self._num_pushed > 1 and not self._is_cut and not picture.unit.continues

    def _add(self, piece: Picture) -> None:
        if self._held is None:
            self.num_late += 1
            return
        packet, unit = self._held
        if packet.pts is None:
            packet.pts = piece.packet.pts
        self._held = Picture(packet, joined(unit, piece.unit))

    def flush(self) -> list[Picture]:
        """What is still held."""
        held, self._held = self._held, None
        return [held] if held is not None else []

"""Demuxed packets to `Packet`s: canonical bytes, media time, wall time.

In: PyAV packets of one video stream, in decode order. Out: `Packet`s. What holds no picture is counted and skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import av
from av.bitstream import BitStreamFilterContext

from stream.codec.access_unit import AccessUnit, Canonicaliser
from stream.errors import CodecError
from stream.sources.joiner import Picture, PictureJoiner
from stream.sources.mediaclock import MediaClock
from stream.units import MEDIA_CLOCK_HZ, Packet

EVIDENCE_CODECS = ("h264", "hevc")
"""H.264 gives motion vectors and quantisers; H.265 is decoded, and its evidence is the plain difference of pictures."""


class Assembler:
    """Makes the `Packet`s of one connection.

    `wall_s` maps media seconds to UTC epoch seconds (a live source ignores its argument and reads the clock).
    `skipped` counts packets by reason: `no_picture`, `damaged`, `late_piece` (of a picture that had already gone on).
    Raises `CodecError` when the stream's codec leaves no evidence.
    """

    def __init__(self, stream: av.VideoStream, media_clock: MediaClock, wall_s: Callable[[float], float]) -> None:
        self.codec = stream.codec_context.name
        if self.codec not in EVIDENCE_CODECS:
            raise CodecError(
                f"expected H.264 or H.265, got {self.codec}, whose packets do not tell where the picture changed; "
                "set the camera's sub-stream to H.264, or transcode"
            )
        self.skipped: Counter[str] = Counter()
        self._stream = stream
        self._clock = media_clock
        self._wall_s = wall_s
        self._time_base = stream.time_base or Fraction(1, MEDIA_CLOCK_HZ)
        self._canonical = Canonicaliser(stream.codec_context.extradata or b"") if self.codec == "h264" else None
        self._joiner = PictureJoiner()
        self._filter = BitStreamFilterContext("hevc_mp4toannexb", stream) if self.codec == "hevc" else None

    def push(self, packet: av.Packet[av.VideoStream]) -> list[Packet]:
        """Packets that one demuxed packet makes: mostly one; a picture that may still be incomplete waits for the next."""
        if not packet.size:
            return []
        if self._canonical is None:
            return [self._plain(each) for each in self._filtered(packet)]
        if packet.is_keyframe and packet.has_sidedata("new_extradata"):
            self._canonical.set_extradata(bytes(packet.get_sidedata("new_extradata")))
        unit = self._canonical.push(bytes(packet))
        if unit is None:
            self.skipped["no_picture"] += 1
            return []
        whole = self._joiner.push(Picture(packet, unit))
        if self._joiner.num_late:
            self.skipped["late_piece"] = self._joiner.num_late
        return [self._packet(*picture) for picture in whole]

    def flush(self) -> list[Packet]:
        """What is still held at the end of the stream."""
        return [self._packet(*picture) for picture in self._joiner.flush()]

    def _packet(self, packet: av.Packet[av.VideoStream], unit: AccessUnit) -> Packet:
        pts, dts = packet.pts, packet.dts
        moment = self._clock.moment(pts if pts is not None else dts, self._time_base)
        width, height = unit.size_px or (self._stream.codec_context.width, self._stream.codec_context.height)
        return Packet(
            data=unit.data,
            pts=pts if pts is not None else round(moment.pts_s / self._time_base),
            dts=dts,
            time_base=self._time_base,
            pts_s=moment.pts_s,
            media_s=moment.media_s,
            wall_s=self._wall_s(moment.media_s),
            is_key=unit.is_key,
            codec=self.codec,
            size_bytes=unit.size_bytes,
            width=width,
            height=height,
            discontinuity=moment.discontinuity or unit.resized,
        )

    def _plain(self, packet: av.Packet[av.VideoStream]) -> Packet:
        """A packet of a codec that we do not parse: its bytes as they are, Annex B."""
        size_px = (self._stream.codec_context.width, self._stream.codec_context.height)
        data = bytes(packet)
        unit = AccessUnit(data=data, size_bytes=len(data), is_key=packet.is_keyframe, starts=packet.is_keyframe,
                          size_px=size_px, resized=False)  # fmt: skip
        return self._packet(packet, unit)

    def _filtered(self, packet: av.Packet[av.VideoStream]) -> list[av.Packet[av.VideoStream]]:
        assert self._filter is not None
        try:
            return list(self._filter.filter(packet))
        except av.FFmpegError:
            self.skipped["damaged"] += 1
            return []

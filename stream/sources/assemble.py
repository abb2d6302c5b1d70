"""Demuxed packets to `Sample`s: whole pictures, canonical bytes.

In: PyAV packets of one video stream, in decode order. Out: `Sample`s. What holds no picture is counted and skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import av
from av.bitstream import BitStreamFilterContext

from stream.codec.codecs import CODECS, codec_of
from stream.codec.h264.access_unit import AccessUnit
from stream.errors import CodecError
from stream.sources.joiner import Picture, PictureJoiner
from stream.sources.limits import IngestLimits
from stream.sources.sample import Sample
from stream.sources.untimed import MICROSECONDS, reference_us
from stream.units import MEDIA_CLOCK_HZ

_BY_ARRIVAL = Fraction(1, MICROSECONDS)
"""Time base of pictures that came without any time."""


class Assembler:
    """Makes the `Sample`s of one connection. `clock`: UTC epoch seconds, now. `by_arrival`: the sender gives no times, and those that FFmpeg
    makes up are not right, so pictures are as far apart as they came. `is_live`: sender reports may tell the sender's clock.

    `skipped` counts packets by reason: `no_picture`, `damaged`, `late_piece` (of a picture that had already gone on).
    Raises `CodecError` when the stream's codec leaves no evidence; later, `TooLargeError` for a picture over the limits.
    """

    def __init__(
        self,
        stream: av.VideoStream,
        clock: Callable[[], float],
        *,
        by_arrival: bool = False,
        is_live: bool = True,
        skipped: Counter[str] | None = None,
        limits: IngestLimits | None = None,
    ) -> None:
        self.codec = codec_name(stream)
        self.skipped: Counter[str] = Counter() if skipped is None else skipped
        self._stream = stream
        self._by_arrival = by_arrival
        self._is_live = is_live
        self._limits = limits or IngestLimits()
        self._most_bytes, self._most_px = self._limits.access_unit_bytes, self._limits.max_picture_px
        self._clock = clock
        self._time_base = stream.time_base or Fraction(1, MEDIA_CLOCK_HZ)
        codec, extradata = codec_of(self.codec), stream.codec_context.extradata or b""
        self._is_unflagged_key = codec.is_key
        self._canonical = codec.canonicaliser(extradata)
        self._joiner = PictureJoiner(self._limits)
        self._filter = BitStreamFilterContext(codec.annexb_filter, stream) if codec.annexb_filter else None
        self._headers = codec.headers(extradata)

    @property
    def num_in_band_sets(self) -> int | None:
        """Sequence parameter sets that came inside packets so far; None for a codec that is not parsed."""
        return self._canonical.num_in_band_sets if self._canonical is not None else None

    def push(self, packet: av.Packet[av.VideoStream]) -> list[Sample]:
        """Samples that one demuxed packet makes: mostly one; a picture that may still be incomplete waits for the next."""
        if not packet.size:
            return []
        if packet.size > self._most_bytes:
            raise self._limits.large_unit()
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
        return [self._sample(*picture) for picture in whole]

    def flush(self) -> list[Sample]:
        """What is still held at the end of the stream."""
        return [self._sample(*picture) for picture in self._joiner.flush()]

    def _sample(self, packet: av.Packet[av.VideoStream], unit: AccessUnit) -> Sample:
        width, height = unit.size_px or (self._stream.codec_context.width, self._stream.codec_context.height)
        if (
            len(unit.data) > self._most_bytes or width * height > self._most_px
        ):  # told apart only then: this is done for every picture
            self._limits.check_access_unit(len(unit.data))
            self._limits.check_picture(width, height)
        reference = reference_us(packet) if self._is_live else None
        arrival_s = self._clock()
        return Sample(
            data=unit.data,
            pts=round(arrival_s * MICROSECONDS) if self._by_arrival else packet.pts,
            dts=None if self._by_arrival else packet.dts,
            time_base=_BY_ARRIVAL if self._by_arrival else self._time_base,
            arrival_s=arrival_s,
            reported_s=None if reference is None else reference / MICROSECONDS,
            is_key=unit.is_key,
            codec=self.codec,
            size_bytes=unit.size_bytes,
            width=width,
            height=height,
            breaks=unit.resized,
        )

    def _plain(self, packet: av.Packet[av.VideoStream]) -> Sample:
        """A packet of a codec that we do not parse: its bytes as they are (H.265: Annex B), headers in front of keys."""
        size_px = (self._stream.codec_context.width, self._stream.codec_context.height)
        data = bytes(packet)
        is_key = packet.is_keyframe or self._is_unflagged_key(data)
        data = self._headers.complete(data, is_key=is_key)
        unit = AccessUnit(data=data, size_bytes=len(data), is_key=is_key, starts=is_key, size_px=size_px, resized=False)
        return self._sample(packet, unit)

    def _filtered(self, packet: av.Packet[av.VideoStream]) -> list[av.Packet[av.VideoStream]]:
        if self._filter is None:
            return [packet]
        try:
            return list(self._filter.filter(packet))
        except av.FFmpegError:
            self.skipped["damaged"] += 1
            return []


def codec_name(stream: av.VideoStream) -> str:
    """The codec's name. Raises `CodecError` for one that leaves no evidence, or that this FFmpeg cannot decode."""
    *labels, last = (codec.label for codec in CODECS.values())
    known = f"{', '.join(labels)} or {last}"
    context = stream.codec_context
    if context is None:
        raise CodecError(f"expected {known}, got a codec that the FFmpeg of the installed PyAV cannot decode")
    codec = str(context.codec.canonical_name)
    if codec not in CODECS:
        raise CodecError(f"expected {known}, got {codec}; set the camera's sub-stream to H.264, or transcode")
    return codec

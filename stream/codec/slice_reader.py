"""Slice data of a camera's packets, each read once, whoever asks: boundary alerts for quantisers and effort, the tokenizer for its bits.

In: packets in decode order. Out: `SliceData`, which reads its packet when it is first asked, with the parameter sets in force there. Only the
newest is held here; the others live as long as the frames that they belong to.

Reading is dear, so not every picture is a *sample*. Samples are P pictures, at most `SAMPLES_PER_S` a second, and those between whose bytes
stand out, no more than one in `EXTRA_S`: a lamp that goes on is one picture. Only samples have a mean quantiser and an `Effort`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from stream.codec.codec import BlockGrids, BlockParser
from stream.codec.codecs import codec_of
from stream.codec.effort import Effort, EffortMeter
from stream.units import Packet

MOST_SETS = 64
"""Parameter sets kept that came since the last whole set of them."""
SAMPLES_PER_S = 5.0
STANDS_OUT, STANDS_OUT_BYTES = 1.6, 100
"""A picture stands out when it is so many times the usual size, and so many bytes more."""
USUAL_S = 0.5
"""Time constant of the usual size."""
EXTRA_S = 0.4
LEAST_STEP_S = 0.01
"""From a picture to the next one, at least: time stamps may repeat."""
EARLY_S = 1e-3
"""A time stamp may be rounded down by so much."""


class Sample(NamedTuple):
    """The stream's meter; seconds since the picture that this one refers to, since the sample before, since the newest intra picture."""

    meter: EffortMeter
    step_s: float
    passed_s: float
    since_key_s: float


class SliceData:
    """Of one packet. `sample`: what is known of one that is a sample. `picture_type`: P, B or I, by the header of its first slice; empty
    where nobody reads it."""

    __slots__ = ("_effort", "_grids", "_parser", "_sample", "_sets", "packet", "picture_type")

    def __init__(
        self,
        packet: Packet,
        sets: tuple[bytes, ...],
        parser: BlockParser | None,
        sample: Sample | None,
        picture_type: str = "",
    ) -> None:
        self.packet = packet
        self._sets = sets
        self._parser = parser
        self._sample = sample
        self.picture_type = picture_type
        self._grids: BlockGrids | None = None
        self._effort: Effort | None = None

    @property
    def is_sample(self) -> bool:
        return self._sample is not None

    def grids(self) -> BlockGrids | None:
        """None where the packet holds nothing that can be read. This may be long after it came, and other sets may have
        come since."""
        if self._parser is not None:
            self._parser.see_parameter_sets(self._sets)
            grids, self._parser = self._parser.push(self.packet.data), None
            if grids is not None:
                self._measure(grids)
                self._grids = grids
        return self._grids

    def mean_qp(self) -> float:
        """Over the macroblocks, NaN where it is no sample or they cannot be read."""
        grids = self.grids() if self.is_sample else None
        return grids.mean_qp if grids is not None and grids.is_whole else math.nan

    def effort(self) -> Effort | None:
        """None where it is no sample or cannot be read. Samples are to be asked in order."""
        if self.is_sample:
            self.grids()
        return self._effort

    def _measure(self, grids: BlockGrids) -> None:
        if self._sample is not None and grids.is_whole:
            sample = self._sample
            self._effort = sample.meter.push(grids, sample.step_s, sample.passed_s, since_key_s=sample.since_key_s)


class SliceReader:
    """Of one stream. Not thread safe, and neither are the `SliceData` that it gives: they share a parser and a meter."""

    def __init__(self) -> None:
        self._parsers: dict[str, BlockParser] = {}
        self._sets: tuple[bytes, ...] = ()
        self._newest: SliceData | None = None
        self._sampler = _Sampler()

    def of(self, packet: Packet) -> SliceData:
        """The next packet's, or once more the newest one's."""
        if self._newest is None or self._newest.packet is not packet:
            self._newest = self._next(packet)
        return self._newest

    def _next(self, packet: Packet) -> SliceData:
        codec = codec_of(packet.codec)
        if not codec.has_bits:
            return SliceData(packet, (), None, None)
        if codec.name not in self._parsers:
            self._parsers[codec.name] = codec.new_parser(with_motion=True)
        if sets := codec.parameter_sets(packet.data):  # a random access point brings all, any other picture those that changed
            self._sets = sets if codec.is_random_access(packet.data) else (*self._sets, *sets)[-MOST_SETS:]
        picture_type = codec.picture_type(packet.data)
        sample = self._sampler.sample(packet, picture_type)
        return SliceData(packet, self._sets, self._parsers[codec.name], sample, picture_type)


class _Sampler:
    """Which pictures of a stream are samples."""

    def __init__(self) -> None:
        self._meter = EffortMeter()
        self._reference_s: float | None = None
        self._sample_s = self._extra_s = self._key_s = -math.inf
        self._usual_bytes = math.inf

    def sample(self, packet: Packet, picture_type: str) -> Sample | None:
        """None for a picture that is none."""
        if packet.discontinuity:
            self._reference_s, self._sample_s = None, -math.inf
        if picture_type not in ("P", "I"):
            return None
        now_s, reference_s = packet.pts_s, self._reference_s
        self._reference_s = now_s
        if picture_type == "I":
            self._key_s = now_s
        if picture_type == "I" or reference_s is None:
            return None
        step_s = max(LEAST_STEP_S, now_s - reference_s)
        passed_s = now_s - self._sample_s
        if not self._is_due(packet.size_bytes, now_s, step_s):
            return None
        self._sample_s = now_s
        passed_s = max(LEAST_STEP_S, passed_s) if math.isfinite(passed_s) else step_s
        return Sample(self._meter, step_s, passed_s, max(0.0, now_s - self._key_s))

    def _is_due(self, size_bytes: int, now_s: float, step_s: float) -> bool:
        usual = self._usual_bytes
        self._usual_bytes = (
            usual + (size_bytes - usual) * min(1.0, step_s / USUAL_S) if math.isfinite(usual) else float(size_bytes)
        )
        if not 0 <= now_s - self._sample_s < 1 / SAMPLES_PER_S - EARLY_S:
            return True
        if size_bytes <= STANDS_OUT * usual + STANDS_OUT_BYTES or 0 <= now_s - self._extra_s < EXTRA_S:
            return False
        self._extra_s = now_s
        return True

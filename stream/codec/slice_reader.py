"""Slice data of a camera's packets, each read once, whoever asks: boundary alerts for its quantisers, the tokenizer for its bits.

In: packets in decode order. Out: `SliceData`, which reads its packet when it is first asked, with the parameter sets in force there. Only the
newest is held here; the others live as long as the frames that they belong to.
"""

from __future__ import annotations

import math

from stream.codec.codec import BlockGrids, BlockParser
from stream.codec.codecs import codec_of
from stream.units import Packet

MOST_SETS = 64
"""Parameter sets kept that came since the last whole set of them."""


class SliceData:
    """Of one packet."""

    __slots__ = ("_grids", "_parser", "_sets", "packet")

    def __init__(self, packet: Packet, sets: tuple[bytes, ...], parser: BlockParser | None) -> None:
        self.packet = packet
        self._sets = sets
        self._parser = parser
        self._grids: BlockGrids | None = None

    def grids(self) -> BlockGrids | None:
        """None where the packet holds nothing that can be read. This may be long after it came, and other sets may have come since."""
        if self._parser is not None:
            self._parser.see_parameter_sets(self._sets)
            self._grids, self._parser = self._parser.push(self.packet.data), None
        return self._grids

    def mean_qp(self) -> float:
        """Over the macroblocks, NaN where they cannot be read."""
        grids = self.grids()
        return float(grids.qp.mean()) if grids is not None and grids.is_whole else math.nan


class SliceReader:
    """Of one stream. `with_vectors`: read the vectors of P pictures, too. Not thread safe, and neither are the `SliceData` that it gives: they
    share a parser."""

    def __init__(self, *, with_vectors: bool = False) -> None:
        self._with_vectors = with_vectors
        self._parsers: dict[str, BlockParser] = {}
        self._sets: tuple[bytes, ...] = ()
        self._newest: SliceData | None = None

    def of(self, packet: Packet) -> SliceData:
        """The next packet's, or once more the newest one's."""
        if self._newest is None or self._newest.packet is not packet:
            self._newest = self._next(packet)
        return self._newest

    def _next(self, packet: Packet) -> SliceData:
        codec = codec_of(packet.codec)
        if not codec.has_bits:
            return SliceData(packet, (), None)
        if codec.name not in self._parsers:
            self._parsers[codec.name] = codec.new_parser(with_vectors=self._with_vectors)
        if sets := codec.parameter_sets(
            packet.data
        ):  # a random access point brings all of them, any other picture those that changed
            self._sets = sets if codec.is_random_access(packet.data) else (*self._sets, *sets)[-MOST_SETS:]
        return SliceData(packet, self._sets, self._parsers[codec.name])

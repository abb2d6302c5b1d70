"""Recordings of the published reference, read by our parser and by FFmpeg. No test in here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mutations import access_units

from stream.codec.decode import DecodedFrame, Decoder
from stream.codec.h264.slice_data import MacroblockFrame, MacroblockParser
from stream.sources import open_source

CAVLC = ("cavlc_baseline", "high_8x8_cavlc")
CABAC = ("cabac_main_b3", "cbr_lowdelay", "high_8x8_cabac", "slices4_cabac")


def parsed(path: Path, *, with_vectors: bool = False) -> list[MacroblockFrame]:
    """All pictures in display order."""
    parser = MacroblockParser(with_vectors=with_vectors)
    frames = [frame for frame in map(parser.push, access_units(path)) if frame is not None]
    assert not parser.skipped
    return sorted(frames, key=lambda frame: (frame.sequence, frame.order))


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz, which is closed again."""
    with np.load(path) as data:
        return {name: data[name] for name in data.files}


def decoded(path: Path) -> list[DecodedFrame]:
    """The same pictures from FFmpeg."""
    decoder = Decoder()
    with open_source(str(path)) as packets:
        frames = [frame for packet in packets for frame in decoder.push(packet)]
    return frames + decoder.flush()


def assert_balanced(frames: list[MacroblockFrame]) -> None:
    """Every slice was read to its end, and its parts add up to its size."""
    assert frames
    for frame in frames:
        assert not frame.refused
        assert not frame.damaged
        assert sum(part.num_mbs for part in frame.slices) == frame.bits.size
        assert frame.bits.sum() == sum(part.macroblock_bits for part in frame.slices)
        for part in frame.slices:
            inside = part.header_bits + part.macroblock_bits + part.flag_bits + part.trailing_bits
            assert part.unit_bits + inside + part.emulation_bits == part.total_bits
            assert 1 <= part.trailing_bits <= 16
            assert min(part.header_bits, part.emulation_bits + 1) > 0

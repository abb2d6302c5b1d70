"""`ov2 bench macroblocks`: what reading the slice data costs against decoding the pictures.

In: a file. Out: the ratio of parsing every macroblock to plain PyAV decoding (demux, decode), both on one core, in turn; medians of several
pairs.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from ov2_bench.machine import one_core
from ov2_bench.tokenization import decode_time


def bench_macroblocks(path: Path, repeats: int) -> dict[str, float | int | str]:
    """Time `repeats` pairs after one warm-up pair."""
    from stream.sources import open_source

    with open_source(str(path)) as packets:
        units = [packet.data for packet in packets]
    with one_core():
        pairs = [(decode_time(path)[0], _parse_time(units)) for _ in range(repeats + 1)][1:]
    ratios = [parse_s / decode_s for decode_s, parse_s in pairs]
    bits, parse_s = 8 * sum(map(len, units)), statistics.median(parse_s for _, parse_s in pairs)
    return {
        "ratio_to_decode": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "bits_per_s": bits / parse_s,
        "decode_s": statistics.median(decode_s for decode_s, _ in pairs),
        "parse_s": parse_s,
        "frames": len(units),
        "bits": bits,
        "repeats": repeats,
    }


def _parse_time(units: list[bytes]) -> float:
    from stream.codec.h264.slice_data import MacroblockParser

    began = time.perf_counter()
    parser = MacroblockParser()
    for unit in units:
        parser.push(unit)
    return time.perf_counter() - began

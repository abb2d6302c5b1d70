"""Access units as a bad line, or a bad mind, would send them. `python mutations.py FILE... --count 200000` pushes that many through the
parser."""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stream.codec.h264.annexb import join_annexb, split_annexb
from stream.codec.h264.slice_data import MacroblockParser
from stream.sources import open_source


def access_units(path: Path) -> list[bytes]:
    """Of a file, in decoding order."""
    with open_source(str(path)) as packets:
        return [packet.data for packet in packets]


def mutated(units: list[bytes], rng: np.random.Generator) -> Iterator[bytes]:
    """Without end: flipped bits, cut-off ends, runs of junk, units of other pictures, changed parameter sets and slice headers."""
    while True:
        unit = bytearray(units[int(rng.integers(len(units)))])
        kind = int(rng.integers(6))
        if kind == 0:
            for at in rng.integers(0, 8 * len(unit), int(rng.integers(1, 9))):
                unit[at >> 3] ^= 1 << (at & 7)
        elif kind == 1:
            del unit[int(rng.integers(1, len(unit) + 1)) :]
        elif kind == 2:
            at, size = int(rng.integers(len(unit))), int(rng.integers(1, 40))
            unit[at : at + size] = rng.bytes(int(rng.integers(0, 40)))
        elif kind == 3:
            other = split_annexb(units[int(rng.integers(len(units)))])
            nals = split_annexb(bytes(unit)) + other
            unit = bytearray(join_annexb(nals[i] for i in rng.permutation(len(nals))))
        elif kind == 4:
            nals = split_annexb(bytes(unit))
            number = int(rng.integers(len(nals)))
            head = bytearray(nals[number])
            for at in rng.integers(8, 8 * min(len(head), 14), 3) if len(head) > 1 else ():
                head[at >> 3] ^= 1 << (at & 7)
            unit = bytearray(join_annexb([*nals[:number], bytes(head), *nals[number + 1 :]]))
        else:
            keys = [each for each in units[:: max(1, len(units) // 20)] if each[4] & 31 == 7] or units[:1]
            sets = [nal for nal in split_annexb(keys[int(rng.integers(len(keys)))]) if nal[0] & 31 in (7, 8)]
            changed = bytearray(sets[int(rng.integers(len(sets)))])
            for at in rng.integers(8, 8 * len(changed), 2):
                changed[at >> 3] ^= 1 << (at & 7)
            unit = bytearray(join_annexb([bytes(changed)]) + bytes(unit))
        yield bytes(unit)


def push(units: list[bytes], count: int, seed: int) -> Counter[str]:
    """Push `count` of them, the whole stream in between now and then; what became of them."""
    rng, parser, outcome = np.random.default_rng(seed), MacroblockParser(with_vectors=True), Counter[str]()
    for number, unit in zip(range(count), mutated(units, rng), strict=False):
        if number % 50 == 0:
            parser.push(units[0])
        frame = parser.push(unit)
        outcome["nothing" if frame is None else frame.refused or ("damaged" if frame.damaged else "whole")] += 1
    return outcome


def main() -> None:
    """The long run."""
    options = argparse.ArgumentParser()
    options.add_argument("files", nargs="+", type=Path)
    options.add_argument("--count", type=int, default=200_000)
    arguments = options.parse_args()
    began, outcome = time.monotonic(), Counter[str]()
    streams = [access_units(file) for file in arguments.files]
    streams.append([unit for stream in streams for unit in stream])  # and units of all of them, mixed
    for seed, units in enumerate(streams):
        outcome += push(units, arguments.count // len(streams), seed)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        spent_s = time.monotonic() - began
        print(f"{sum(outcome.values())} access units in {spent_s:.0f} s, at most {memory} MiB: {dict(outcome)}")


if __name__ == "__main__":
    main()

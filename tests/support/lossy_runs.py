"""Streams with damage, loss and peeks, tokenized with every picture decoded and with those that are shown. `python lossy_runs.py FILE...
--count 200000` pushes that many damaged access units; `--loss 0.05` leaves out so many instead."""

from __future__ import annotations

import argparse
import hashlib
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mutations import mutated

from stream.sources import open_source
from stream.tokenizer.settings import TokenizerSettings, settings_from
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet

ROUND = 300
"""Packets of one run."""
DAMAGED = 0.3
PEEKED, FORCED, SHOWN = 0.02, 0.005, 0.01


class Step(NamedTuple):
    """A packet, and what is asked after it."""

    packet: Packet
    peeks: bool
    forces: bool
    shows: bool


@dataclass(frozen=True, slots=True)
class Round:
    """`num_damaged`: units that were changed, or left out."""

    steps: tuple[Step, ...]
    settings: TokenizerSettings
    num_damaged: int


def rounds(packets: Sequence[Packet], seed: int, *, loss: float = 0.0) -> Iterator[Round]:
    """Without end, each from a keyframe that is whole. With `loss` packets are left out, and none is changed."""
    chance, rng = random.Random(seed), np.random.default_rng(seed)
    bad = mutated([packet.data for packet in packets], rng)
    keys = [index for index, packet in enumerate(packets) if packet.is_key]
    while True:
        steps, num_damaged = [], 0
        first = chance.choice(keys)
        for index, packet in enumerate(packets[first : first + ROUND]):
            if index and chance.random() < (loss or DAMAGED):
                num_damaged += 1
                if loss:
                    continue
                packet = replace(packet, data=next(bad))
            packet = replace(packet, discontinuity=chance.random() < 0.005)
            steps.append(Step(packet, chance.random() < PEEKED, chance.random() < FORCED, chance.random() < SHOWN))
        settings = settings_from(
            {
                "max_pixels": chance.choice([20_000, None]),
                "token_rate": chance.choice([30, 100]),
                "t_still_s": chance.choice([4, 30]),
            }
        )
        yield Round(tuple(steps), settings, num_damaged)


def told(run: Round, catch_up_s: float) -> list[str]:
    """Digests of everything that comes out."""
    tokenizer = Tokenizer(run.settings, catch_up_s=catch_up_s)
    found: list[str] = []
    for step in run.steps:
        groups = tokenizer.push(step.packet)
        if step.peeks and (peek := tokenizer.peek()) is not None:
            groups = [*groups, peek]
        groups = [*groups, *tokenizer.force()] if step.forces else groups
        found += [
            _digest(group.canvases, group.positions, (group.runs, group.start_s, group.end_s, group.cost)) for group in groups
        ]
        if step.shows and (picture := tokenizer.newest_picture(160)) is not None:
            found.append(_digest(picture))
    return [*found, *(_digest(group.canvases, group.positions, group.runs) for group in tokenizer.flush())]


def _digest(*parts: object) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return found.hexdigest()


def main() -> None:
    """The long run."""
    options = argparse.ArgumentParser()
    options.add_argument("files", nargs="+", type=Path)
    options.add_argument("--count", type=int, default=200_000)
    options.add_argument("--loss", type=float, default=0.0)
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    began, num_damaged, num_told, differ = time.monotonic(), 0, 0, 0
    films = []
    for path in arguments.files:
        with open_source(str(path)) as packets:
            films.append(rounds(list(packets), arguments.seed, loss=arguments.loss))
    for number in range(1_000_000_000):
        run = next(films[number % len(films)])
        expected = told(run, 0.0)
        num_told += len(expected)
        num_damaged += run.num_damaged
        if told(run, (0.002, 0.15, 1e9)[number // len(films) % 3]) != expected:
            differ += 1
            print(f"round {number} of {arguments.files[number % len(films)].name} differs", flush=True)
        if num_damaged >= arguments.count:
            break
    spent_s = time.monotonic() - began
    print(
        f"{num_damaged} units damaged or lost, {num_told} groups, peeks and pictures, {differ} rounds differ, {spent_s:.0f} s"
    )


if __name__ == "__main__":
    main()

"""`ov2 bench boundaries`: how well packets alone tell that something began or ended.

In: world seeds. Out: for each encoding and each variant of the detector, precision, recall, F1 and median delay of the service's own boundary
detector against the world's visible boundaries (`trainer.world.boundaries` says what those are, `matching` when a telling is
right), and the F1 that chance would give. A telling is a `new` or an `update` of an event, at the media time of the packet that
made it certain. The first `WARM_UP_S` seconds do not count: the detector has no scale yet.

`REGIONS` is what the service runs: effort and mean quantiser of its samples, read by its own reader. The others are the cost of a packet
alone, what a stream gets whose slice data cannot be read; they are told the mean quantiser of every picture, over its macroblocks, from the
decoder's side data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ov2_bench.films import ENCODINGS, LEAST_SECONDS, Encoding, Films
from trainer.evaluate.matching import Tally

if TYPE_CHECKING:
    from stream.codec.effort import Effort
    from stream.events.boundary_settings import BoundarySettings
    from stream.units import Packet

WARM_UP_S = 6.0
SCENE_CUTS = ", scene cuts"
REGIONS = "regions"
Row = dict[str, float | int | None]
Table = dict[str, dict[str, Row]]


@dataclass(frozen=True, slots=True)
class Told:
    """A packet without its bytes; its mean quantiser by the decoder; and what the service's reader has of it: both of samples alone."""

    packet: Packet
    mean_qp: float
    sampled_qp: float
    effort: Effort | None


def variants() -> dict[str, BoundarySettings]:
    """The service's, then each cost alone without scene-cut keyframes, as by default, and with those that the tokenizer counts."""
    from stream.events.boundary_settings import BoundarySettings
    from stream.tokenizer.costs import COSTS
    from stream.tokenizer.settings import TokenizerSettings

    plain = {cost: BoundarySettings(cost=cost, scene_cut_ratio=0.0) for cost in COSTS}
    ratio = TokenizerSettings().scene_cut_ratio
    return (
        {REGIONS: BoundarySettings()}
        | plain
        | {cost + SCENE_CUTS: replace(limits, scene_cut_ratio=ratio) for cost, limits in plain.items()}
    )


def bench_boundaries(
    seeds: Sequence[int],
    seconds: float,
    folder: Path,
    *,
    encodings: Sequence[Encoding] = ENCODINGS,
    size: tuple[int, int] = (640, 360),
    tell: Callable[[str], None] = lambda line: None,
) -> Table:
    """Run every variant over every film. Raises TimeError for films that are mostly warm-up."""
    from trainer.world.boundaries import visible_boundaries
    from trainer.world.errors import TimeError

    if seconds < LEAST_SECONDS:
        raise TimeError(f"seconds: expected at least {LEAST_SECONDS:g}, got {seconds:g}; the first {WARM_UP_S:g} do not count")
    films = Films(folder=folder, seconds=seconds, width=size[0], height=size[1], tell=tell)
    truth = {seed: visible_boundaries(films.world(seed)) for seed in seeds}
    limits = variants()
    table: Table = {}
    for encoding in encodings:
        tallies = {name: Tally() for name in limits}
        for seed in seeds:
            packets = read_packets(films.path(seed, encoding))
            for name, tally in tallies.items():
                told = told_s(packets, limits[name], with_effort=name == REGIONS)
                tally.add(truth[seed], told, start_s=WARM_UP_S, end_s=seconds)
        table[encoding.name] = {name: _row(tally) for name, tally in tallies.items()}
    return table


def read_packets(path: Path) -> list[Told]:
    """The packets of a film in decode order."""
    from stream.codec.decode import Decoder
    from stream.codec.slice_reader import SliceReader
    from stream.sources import open_source

    decoder, reader = Decoder(path.name), SliceReader()
    read: list[tuple[Packet, float, Effort | None]] = []
    qps: dict[int, float] = {}
    with open_source(str(path)) as source:
        for packet in source:
            slices = reader.of(packet)
            read.append((replace(packet, data=b""), slices.mean_qp(), slices.effort()))
            qps |= {frame.packet.pts: frame.mean_qp for frame in decoder.push(packet)}
    qps |= {frame.packet.pts: frame.mean_qp for frame in decoder.flush()}
    return [Told(packet, qps.get(packet.pts, math.nan), sampled_qp, effort) for packet, sampled_qp, effort in read]


def told_s(packets: Sequence[Told], limits: BoundarySettings, *, with_effort: bool) -> list[float]:
    """Media times at which the service's detector told of a change."""
    from stream.events.boundary import BoundaryDetector

    now_s = 0.0
    detector = BoundaryDetector("bench", limits, clock=lambda: now_s)
    told: list[float] = []
    for each in packets:
        now_s = each.packet.wall_s
        seen = (each.sampled_qp, each.effort) if with_effort else (each.mean_qp, None)
        changes = detector.push(each.packet, *seen)
        told += [each.packet.media_s for change in changes if change.type in ("new", "update")]
    return told


def _row(tally: Tally) -> Row:
    return {
        "precision": round(tally.precision, 3),
        "recall": round(tally.recall, 3),
        "f1": round(tally.f1, 3),
        "median_delay_s": tally.median_delay_s,
        "chance_f1": round(tally.chance_f1, 3),
        "num_true": tally.num_true,
        "num_told": tally.num_told,
    }

"""What would a watch have told? A recorded stream is judged as the service would have judged it live.

In: a model, packets, watches. Out: changes with a picture of each beginning, and every judgement, in the stream's own time. Judgements
come every `every_s` of media time: what an idle machine would do; a busy one judges less often.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ov2.canvas import CanvasGroup
from ov2.engine import Engine, EngineSettings
from ov2.model import OV2Model
from stream.events.event import Change, EventIds, Evidence
from stream.tokenizer.settings import TokenizerSettings, settings_from
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet
from stream.watch.life import Sighting, WatchLife
from stream.watch.settings import WatchSettings
from stream.watch.zone import Polygon, only_inside

PICTURE_PX = 640


class Judge(Protocol):
    def __call__(self, statements: Sequence[str], *, peek: CanvasGroup | None = None) -> list[float]: ...


@dataclass(frozen=True, slots=True)
class Judged:
    """One judgement of one watch: media seconds, probability, what it changed, and the newest frame where it began something."""

    watch: str
    media_s: float
    probability: float
    changes: tuple[Change, ...]
    picture: np.ndarray | None


class BackTest:
    """`run` over packets; one stream of an engine for each zone."""

    def __init__(
        self,
        model: OV2Model,
        camera: str,
        watches: Mapping[str, WatchSettings],
        *,
        tokenizer: TokenizerSettings | None = None,
        every_s: float = 0.5,
    ) -> None:
        self._model = model
        self._tokenizer = Tokenizer(tokenizer or settings_from(model.stream_settings.get("tokenizer", {})))
        ids = EventIds()
        self._lives = {name: WatchLife(camera, name, settings, ids) for name, settings in watches.items()}
        self._every_s = every_s

    def run(self, packets: Iterable[Packet]) -> Iterator[Judged]:
        """Every judgement, in order. Events that are under way at the end are ended."""
        zones = list(dict.fromkeys(life.settings.zone for life in self._lives.values()))
        with Engine(self._model, EngineSettings(max_streams=len(zones))) as engine:
            streams = {zone: engine.open(f"zone {index}") for index, zone in enumerate(zones)}
            due_s, last = 0.0, None
            for packet in packets:
                for group in self._tokenizer.push(packet):
                    for zone, stream in streams.items():
                        stream.append(only_inside(group, zone) if zone else group).result()
                last = packet
                if packet.media_s >= due_s:
                    due_s = packet.media_s + self._every_s
                    for zone, stream in streams.items():
                        yield from self._judge(zone, stream.judge, packet)
            if last is not None:
                for life in self._lives.values():
                    probability = life.probability or 0.0
                    changes = tuple(life.interrupt(last.wall_s))
                    if changes:
                        yield Judged(life.name, last.media_s, probability, changes, None)

    def _judge(self, zone: tuple[Polygon, ...], judge: Judge, packet: Packet) -> Iterator[Judged]:
        peek = self._tokenizer.peek()
        lives = [life for life in self._lives.values() if life.settings.zone == zone]
        if peek is None:
            return
        margins = judge([life.settings.sentence for life in lives], peek=only_inside(peek, zone) if zone else peek)
        evidence = (Evidence(start=peek.wall_s - (peek.end_s - peek.start_s), end=peek.wall_s, frames=len(peek.runs)),)
        for life, margin in zip(lives, margins, strict=True):
            sighting = Sighting(margin=margin, time_s=packet.wall_s, frame_age_ms=0.0, evidence=evidence)
            changes = tuple(life.see(sighting))
            begins = any(change.type == "new" for change in changes)
            picture = self._tokenizer.newest_picture(PICTURE_PX) if begins else None
            yield Judged(life.name, packet.media_s, life.probability or 0.0, changes, picture)

"""What would a watch have told? A recording goes through a camera's pipeline and its watches' judge, as live packets do.

In: a model, packets, watches. Out: every judgement with the changes that it brought, and a picture of each beginning, in the
recording's own time. The clock is the newest packet's, and stands still while the model works: what an idle machine would do; a busy
one judges less often.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from ov2.engine import Engine, EngineSettings
from ov2.errors import PromptError
from ov2.model import OV2Model
from stream.camera.pipeline import CameraPipeline
from stream.camera.tokenizing import LocalTokenizer, TokenizingSettings
from stream.camera.zone_view import ZoneView
from stream.events.event import Change
from stream.tokenizer.settings import TokenizerSettings, settings_from
from stream.units import Packet
from stream.watch.judge import CameraView, WatchJudge
from stream.watch.settings import WatchSettings


@dataclass(frozen=True, slots=True)
class Judged:
    """One judgement of one watch: media seconds, probability, what it changed, and the newest frame as JPEG where it began something."""

    watch: str
    media_s: float
    probability: float
    changes: tuple[Change, ...]
    picture: bytes | None


@dataclass(slots=True)
class PacketClock:
    """The time of the newest packet; never goes back."""

    wall_s: float = -math.inf
    media_s: float = -math.inf

    def see(self, packet: Packet) -> None:
        self.wall_s, self.media_s = max(self.wall_s, packet.wall_s), max(self.media_s, packet.media_s)


class BackTest:
    """`run` over packets. Raises `PromptError` for a sentence that cannot be judged."""

    def __init__(
        self,
        model: OV2Model,
        camera: str,
        watches: Mapping[str, WatchSettings],
        *,
        tokenizer: TokenizerSettings | None = None,
        every_s: float = 0.5,
    ) -> None:
        self._model, self._camera, self._watches = model, camera, dict(watches)
        self._tokenizing = tokenizer or settings_from(model.stream_settings.get("tokenizer", {}))
        self._every_s = every_s

    def run(self, packets: Iterable[Packet]) -> Iterator[Judged]:
        """Every judgement, in order. Events that are under way at the end are ended."""
        zones = dict.fromkeys(settings.zone for settings in self._watches.values() if settings.zone)
        with Engine(self._model, EngineSettings(max_streams=1 + len(zones))) as engine:
            clock, changes = PacketClock(), list[Change]()
            streams = [engine.open(self._camera)]
            settings = TokenizingSettings(name=self._camera, tokenizer=self._tokenizing)
            tokenizer = LocalTokenizer(settings, clock=lambda: clock.wall_s)
            pipeline = CameraPipeline(self._camera, tokenizer, streams[0], clock=lambda: clock.wall_s)
            views: dict[object, CameraView] = {(): pipeline}
            for index, zone in enumerate(zones):
                streams.append(engine.open(f"{self._camera}/zone{index}"))
                views[zone] = ZoneView(pipeline, streams[-1], zone)
            judge = WatchJudge(
                lambda camera, zone: views[zone],
                changes.append,
                every_s=self._every_s,
                share=1.0,
                clock=lambda: clock.wall_s,
                monotonic=lambda: clock.media_s,
            )
            for name, watch in self._watches.items():
                judge.put(self._camera, name, watch)
            with closing(pipeline):
                for packet in packets:
                    clock.see(packet)
                    done = pipeline.push([packet])
                    if done.groups or any(change.type == "new" for change in done.changes):
                        judge.hint(self._camera)
                    for stream in streams:
                        stream.wait()
                    while judge.judge_due():
                        yield from self._judged(judge, pipeline, clock, changes)
                newest = {name: watch.life.probability or 0.0 for name, watch in judge.watches(self._camera).items()}
                judge.away(self._camera)
                for change in changes:
                    assert change.after.watch is not None
                    yield Judged(change.after.watch, clock.media_s, newest[change.after.watch], (change,), None)

    def _judged(
        self, judge: WatchJudge, pipeline: CameraPipeline, clock: PacketClock, changes: list[Change]
    ) -> Iterator[Judged]:
        """What one turn of the judge told, watch by watch; `changes` is empty afterwards."""
        told, changes[:] = tuple(changes), []
        for name, watch in judge.watches(self._camera).items():
            if watch.problem is not None:
                raise PromptError(watch.problem)
            if watch.life.probability is None:
                continue
            own = tuple(change for change in told if change.after.watch == name)
            picture = pipeline.snapshot() if any(change.type == "new" for change in own) else None
            yield Judged(name, clock.media_s, watch.life.probability, own, picture)

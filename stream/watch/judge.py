"""All watches of all cameras are kept and judged here.

In: watches, from any thread; hints that something happened in front of a camera. Out: `Change`s of watch events. One thread judges, camera
after camera, the sentences of a camera in one pass over its window and the group still open: every `every_s` seconds, at once when a
group has closed or a boundary opened. It never takes more of the model's time than `share`: with many cameras the judgements come
later, counted as `thinned`, and questions are still answered.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ov2.errors import OV2Error, PromptError, RequestError
from stream.events.event import Change, Event, EventIds
from stream.watch.life import Sighting, WatchLife
from stream.watch.look import Look
from stream.watch.schedule import Schedule
from stream.watch.settings import WatchSettings
from stream.watch.zone import Polygon

log = logging.getLogger(__name__)

TOGETHER = 64
"""Sentences in one pass; more take several."""
LATE_AFTER = 4.0
"""A judgement that the model does not get to in this many times `every_s` is left out."""
JOIN_S = 5.0
FORGOTTEN_S = 60.0
"""A longer pause was no thinning: there was nothing to judge."""
QUICKEST_S = 0.2
"""A hint cannot make judgements come faster than this."""


class CameraView(Protocol):
    """What the judge needs of a camera (`stream.camera.pipeline.CameraPipeline`, or `stream.camera.zone_view.ZoneView`)."""

    def look(self, statements: Sequence[str], *, within_s: float | None = None, after_s: float = -math.inf) -> Look | None: ...


@dataclass(slots=True)
class Watch:
    """One watch and its life. `problem`: why it cannot be judged, None while all is well."""

    life: WatchLife
    schedule: Schedule
    problem: str | None = None

    @property
    def settings(self) -> WatchSettings:
        return self.life.settings

    def is_armed(self, now_s: float) -> bool:
        return self.settings.enabled and self.problem is None and self.schedule.holds(datetime.fromtimestamp(now_s))


@dataclass(slots=True)
class CameraWatches:
    """One camera and its watches. `due_s`, `judged_s` by the monotonic clock; `seen_s`: wall time of the newest frame judged."""

    name: str
    watches: dict[str, Watch] = field(default_factory=dict)
    due_s: float = 0.0
    judged_s: float = -math.inf
    seen_s: float = -math.inf

    def is_wanted(self, now_s: float) -> bool:
        """Whether there is something to judge, or an event of a watch that is armed no longer, to end."""
        return any(watch.is_armed(now_s) or watch.life.event is not None for watch in self.watches.values())


class WatchJudge:
    """`start`; `put`, `take_off`, `hint` from any thread; `stop`. `eyes(camera, zone)` gives what looks at a camera, or at a zone of it; None
    once no watch looks at that zone."""

    def __init__(
        self,
        eyes: Callable[[str, tuple[Polygon, ...]], CameraView | None],
        on_change: Callable[[Change], None],
        *,
        every_s: float = 0.5,
        share: float = 0.5,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._eyes = eyes
        self._on_change = on_change
        self._every_s, self._share = every_s, share
        self._clock, self._monotonic = clock, monotonic
        self._ids = EventIds()
        self._posts: dict[str, CameraWatches] = {}
        self._changed = threading.Condition(threading.RLock())
        self._stopping = False
        self._free_s = 0.0
        self._thread = threading.Thread(target=self._run, name="watches", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Events that are under way stay so: the next start goes on with them."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(JOIN_S)

    def put(self, camera: str, name: str, settings: WatchSettings) -> None:
        """Add a watch, or change one: an event that is under way goes on when the sentence is the same."""
        with self._changed:
            post = self._posts.setdefault(camera, CameraWatches(camera))
            known = post.watches.get(name)
            life = WatchLife(camera, name, settings, self._ids)
            if known is not None and known.life.event is not None:
                if settings.enabled and settings.sentence == known.settings.sentence:
                    life.restore(known.life.event)
                else:
                    self._tell(known.life.interrupt(self._clock()))
            post.watches[name] = Watch(life, Schedule(settings.schedule))
            self._changed.notify_all()

    def take_off(self, camera: str, name: str) -> bool:
        """Remove a watch; its event ends. False when there is none."""
        with self._changed:
            watch = self._posts[camera].watches.pop(name, None) if camera in self._posts else None
            if watch is not None:
                self._tell(watch.life.interrupt(self._clock()))
            return watch is not None

    def restore(self, events: Iterable[Event]) -> None:
        """Events that were under way when the service ended last: the watches that are still there go on with them, others end."""
        with self._changed:
            for event in events:
                post = self._posts.get(event.camera)
                watch = post.watches.get(event.watch or "") if post is not None else None
                life = watch.life if watch is not None else WatchLife(event.camera, event.watch or "", _GONE, self._ids)
                life.restore(event)
                if watch is None or not watch.settings.enabled:
                    self._tell(life.interrupt(event.frame_time))

    def watches(self, camera: str) -> Mapping[str, Watch]:
        with self._changed:
            return dict(self._posts[camera].watches) if camera in self._posts else {}

    def hint(self, camera: str) -> None:
        """Something has happened there: judge soon."""
        with self._changed:
            post = self._posts.get(camera)
            if post is not None:
                post.due_s = min(post.due_s, max(self._monotonic(), post.judged_s + QUICKEST_S))
                self._changed.notify_all()

    def describe(self, camera: str, name: str, event_id: str, caption: str) -> None:
        """Words for an event that is under way."""
        with self._changed:
            watch = self.watches(camera).get(name)
            if watch is not None:
                self._tell(watch.life.describe(event_id, caption))

    def away(self, camera: str) -> None:
        """The camera cannot be seen: what was happening there ends."""
        with self._changed:
            for watch in self.watches(camera).values():
                self._tell(watch.life.interrupt(self._clock()))

    def judge_due(self) -> bool:
        """Judge the camera that has been due longest; False when none is due yet. For who drives the judge by a clock of their own and has
        not started its thread."""
        with self._changed:
            camera, start_s = self._due()
        if camera is None or start_s > self._monotonic():
            return False
        self._take_turn(camera)
        return True

    def _run(self) -> None:
        while (camera := self._next()) is not None:
            self._take_turn(camera)

    def _take_turn(self, camera: CameraWatches) -> None:
        began_s = self._monotonic()
        pause_s = began_s - camera.judged_s
        with self._changed:  # before it is judged, so that a hint meanwhile makes the next judgement early
            camera.judged_s, camera.due_s = began_s, began_s + self._every_s
        try:
            self._judge(camera)
        except Exception:  # the fault barrier between cameras
            log.exception("camera %s: its watches were not judged", camera.name)
            self.counts["failed"] += 1
        now_s = self._monotonic()
        self._free_s = now_s + (now_s - began_s) * (1 / self._share - 1)
        self.counts["thinned"] += 2 * self._every_s < pause_s < FORGOTTEN_S
        self.counts["judged"] += 1

    def _next(self) -> CameraWatches | None:
        """The next camera to judge, once it is due and the model may be asked; None at the end."""
        with self._changed:
            while not self._stopping:
                camera, start_s = self._due()
                wait_s = start_s - self._monotonic()
                if camera is not None and wait_s <= 0.0:
                    return camera
                self._changed.wait(min(1.0, max(0.0, wait_s)))
            return None

    def _due(self) -> tuple[CameraWatches | None, float]:
        """The camera that has been due longest or will be first, and when the model may be asked about it."""
        wanted = [camera for camera in self._posts.values() if camera.is_wanted(self._clock())]
        camera = min(wanted, key=lambda one: one.due_s, default=None)
        return camera, math.inf if camera is None else max(camera.due_s, self._free_s)

    def _judge(self, post: CameraWatches) -> None:
        """All armed watches of a camera, zone by zone; those that are not armed any more end."""
        now_s = self._clock()
        after_s = post.seen_s
        zones: dict[tuple[Polygon, ...], list[Watch]] = {}
        with self._changed:
            for watch in post.watches.values():
                if watch.is_armed(now_s):
                    zones.setdefault(watch.settings.zone, []).append(watch)
                else:
                    self._tell(watch.life.interrupt(now_s))
        for zone, watches in zones.items():
            for first in range(0, len(watches), TOGETHER):
                self._look(post, zone, watches[first : first + TOGETHER], after_s)

    def _look(self, post: CameraWatches, zone: tuple[Polygon, ...], watches: list[Watch], after_s: float) -> None:
        sentences = [watch.settings.sentence for watch in watches]
        eyes = self._eyes(post.name, zone)
        if eyes is None:
            return
        try:
            look = eyes.look(sentences, within_s=LATE_AFTER * self._every_s, after_s=after_s)
        except (PromptError, RequestError) as error:
            self._find_bad(post, zone, watches, after_s, error)
            return
        except OV2Error as error:  # the model is busy, or the service is stopping
            log.debug("camera %s: watches were not judged: %s", post.name, error)
            self.counts["late"] += 1
            return
        if look is None:
            return
        post.seen_s = max(post.seen_s, look.time_s)
        with self._changed:
            for watch, margin in zip(watches, look.margins, strict=True):
                if post.watches.get(watch.life.name) is not watch:
                    continue  # changed or taken off meanwhile
                sighting = Sighting(margin=margin, time_s=look.time_s, frame_age_ms=look.frame_age_ms, evidence=look.evidence)
                self._tell(watch.life.see(sighting))

    def _find_bad(
        self,
        post: CameraWatches,
        zone: tuple[Polygon, ...],
        watches: list[Watch],
        after_s: float,
        error: PromptError | RequestError,
    ) -> None:
        """One sentence that cannot be judged stops no other: it is found by halves, and told. One whose judgement raised is tried again: the
        next moment may be another."""
        if len(watches) > 1:
            half = len(watches) // 2
            self._look(post, zone, watches[:half], after_s)
            self._look(post, zone, watches[half:], after_s)
            return
        if isinstance(error, RequestError):
            self.counts["failed"] += 1
            return
        watches[0].problem = str(error)
        log.warning("camera %s: watch %s cannot be judged: %s", post.name, watches[0].life.name, error)

    def _tell(self, changes: list[Change]) -> None:
        for change in changes:
            self.counts[f"told_{change.type}"] += 1
            self._on_change(change)


_GONE = WatchSettings(sentence="gone")

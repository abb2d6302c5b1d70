"""Events on their way from who saw them to whom they are told.

In: changes of boundary and watch events, from the threads of cameras and watches. Out: the same in the journal, with a picture taken at
their beginning; captions as updates; states and descriptions of watches for MQTT and Home Assistant. A camera that is not to be watched
tells nothing that begins.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stream.camera.pipeline import CameraPipeline
from stream.camera.snapshots import Snapshots
from stream.errors import JournalError
from stream.events.event import Change, Event, Evidence
from stream.events.homeassistant import CameraDescription, WatchDescription
from stream.journal import Entry, Query
from stream.serve.captions import Captions
from stream.serve.delivery import Delivery
from stream.serve.watches import WatchKeeper

log = logging.getLogger(__name__)

FEATURES = ("watching", "session")
LOOK_BACK = 1000
"""Newest entries of a kind in the journal in which events are looked for that had not ended."""


class Alerts:
    """`start` before the cameras; `change` from any thread; `stop`."""

    def __init__(
        self, pipelines: Mapping[str, CameraPipeline], delivery: Delivery, watches: WatchKeeper, data: Path, caption: str
    ) -> None:
        self.snapshots = Snapshots(data / "snapshots")
        self.captions = Captions(caption, self._captioned)
        self._pipelines, self._delivery, self._watches = pipelines, delivery, watches
        self._unwatched: set[str] = set()
        self._untold: set[str] = set()
        self._pictured: set[str] = set()

    def start(self) -> None:
        """Before the cameras: what is under way in the journal then is of the service before this one, which was killed. Its watches go
        on; what packets told has ended with it."""
        self.captions.start()
        watched = self._under_way("watch")
        self._pictured.update(event.id for event in watched if event.has_snapshot)
        self._watches.start(watched)
        for event in self._under_way("boundary"):
            self._delivery.change(Change("end", event, replace(event, end_time=event.frame_time)))
        for name in self._pipelines:
            self.announce(name)

    def stop(self) -> None:
        self._watches.stop()
        self.captions.stop()

    def boundary(self, change: Change) -> None:
        """What the packets tell is told, and looked at."""
        self.change(change)
        if change.type == "new":
            self._watches.judge.hint(change.after.camera)

    def change(self, change: Change) -> None:
        event = change.after
        if change.type == "new" and event.camera in self._unwatched:
            self._untold.add(event.id)
        if event.id in self._untold:
            if change.type == "end":
                self._untold.discard(event.id)
            return
        self._delivery.change(self._with_media(change))
        if change.type == "new" and event.kind == "watch":
            self.captions.ask(self._pipelines[event.camera], event)

    def announce(self, name: str) -> None:
        """Tell MQTT what there is of a camera, and how it is."""
        watches = self._watches.all(name)
        described = [WatchDescription(name=each.name, label=each.settings.label or each.settings.sentence) for each in watches]
        self._delivery.describe(CameraDescription(name=name, watches=described, features=FEATURES))
        self._delivery.state(f"{name}/watching/state", "OFF" if name in self._unwatched else "ON")
        self._delivery.state(f"{name}/session/state", "OFF" if self._pipelines[name].is_paused else "ON")
        for each in watches:
            self._delivery.state(f"{name}/{each.name}/state", each.state.upper())

    def set_feature(self, name: str, feature: str, on: bool) -> None:
        """`watching` off: what begins at a camera is not told. `session` off: the model sees nothing more of it."""
        assert feature in FEATURES
        if feature == "session":
            self._pipelines[name].is_paused = not on
        else:
            (self._unwatched.discard if on else self._unwatched.add)(name)
        self.announce(name)

    def withdrawn(self, camera: str, watch: str) -> None:
        """A watch is no more: its topics are emptied."""
        self._delivery.state(f"{camera}/{watch}/state", "")
        self.announce(camera)

    def _with_media(self, change: Change) -> Change:
        """Says that there is a picture, and a clip; takes the picture at the beginning."""
        event = change.after
        pipeline = self._pipelines.get(event.camera)
        if pipeline is None:
            return change
        if change.type == "new" and (picture := pipeline.snapshot()) is not None:
            if self.snapshots.put(event.id, picture):
                self._pictured.add(event.id)
            if self._delivery.mqtt is not None:
                self._delivery.mqtt.snapshot(event.camera, picture)
        has_snapshot, has_clip = event.id in self._pictured, pipeline.recorder is not None
        if change.type == "end":
            self._pictured.discard(event.id)
        before, after = (replace(each, has_snapshot=has_snapshot, has_clip=has_clip) for each in (change.before, event))
        return Change(change.type, before, after)

    def _captioned(self, event: Event, caption: str) -> None:
        if event.watch is not None:
            self._watches.judge.describe(event.camera, event.watch, event.id, caption)

    def _under_way(self, kind: str) -> list[Event]:
        """Events of the journal that had not ended when it was written last."""
        try:
            page = self._delivery.writer.journal.page(Query(kind=kind, limit=LOOK_BACK, newest_first=True))
        except JournalError as error:
            log.warning("journal: events that were under way are not known: %s", error)
            return []
        newest = {entry.id: entry for entry in reversed(page.entries)}
        return [event for entry in newest.values() if (event := _under_way(entry)) is not None]


def _under_way(entry: Entry) -> Event | None:
    """An event as the journal holds it; None for one that has ended, or that is told of in words that are none of ours."""
    try:
        if entry.body["type"] == "end":
            return None
        body = entry.body["after"]
        event = Event(**{**body, "evidence": tuple(Evidence(**each) for each in body["evidence"])})
        if (event.id, event.kind, event.camera) == (entry.id, entry.kind, entry.camera):
            return event
    except (KeyError, TypeError) as error:
        log.warning("journal: entry %d is no step of an event (%s); it is left out", entry.position, type(error).__name__)
    return None

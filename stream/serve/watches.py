"""The watches of the service: those of the configuration file, those made while it runs, and the judge of them.

In: settings, from YAML, HTTP or MQTT. Out: a judge that has just these; the state of every watch.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from ov2.engine import Engine
from ov2.errors import CapacityError
from ov2.session_settings import SessionSettings
from stream.camera.errors import RETRY_AFTER_S, AtCapacityError
from stream.camera.pipeline import CameraPipeline
from stream.camera.zone_view import ZoneView
from stream.events.event import Change, Event
from stream.serve.errors import UnkeptError, UnknownWatchError, WatchError
from stream.serve.wire import WatchStatus
from stream.watch.judge import CameraView, WatchJudge
from stream.watch.settings import WatchSettings
from stream.watch.store import Watches, WatchStore
from stream.watch.zone import Polygon

log = logging.getLogger(__name__)

MOST_PER_CAMERA = 200
"""Watches of one camera: a pass over the window judges 64."""


class WatchKeeper:
    """`start`, `put`, `remove`, `stop`. Raises `SettingsError` when the file of watches cannot be read."""

    def __init__(
        self,
        feeds: Mapping[str, CameraPipeline],
        configured: Watches,
        engine: Engine,
        *,
        path: Path | None,
        on_change: Callable[[Change], None],
        zone_session: SessionSettings,
        max_zones: int,
        every_s: float,
        share: float,
    ) -> None:
        self._feeds = feeds
        self._engine = engine
        self._zone_session, self._max_zones = zone_session, max_zones
        self._zones = threading.Lock()
        self._views: dict[tuple[str, tuple[Polygon, ...]], ZoneView] = {}
        self._numbers = count(1)
        self._store = WatchStore(path) if path is not None else None
        self.judge = WatchJudge(self._eyes, on_change, every_s=every_s, share=share)
        made = self._store.all() if self._store is not None else {}
        for camera in feeds:
            for name, settings in {**configured.get(camera, {}), **made.get(camera, {})}.items():
                self._open_zone(camera, settings.zone)
                self.judge.put(camera, name, settings)
        for camera in made.keys() - feeds.keys():
            log.warning("camera %s is not configured: its %d watches wait for it", camera, len(made[camera]))

    @property
    def num_damaged(self) -> int:
        """Files of watches that were damaged when they were read."""
        return self._store.num_damaged if self._store is not None else 0

    def start(self, under_way: Iterable[Event] = ()) -> None:
        """`under_way`: watch events that had not ended when the service did."""
        self.judge.restore(under_way)
        self.judge.start()

    def stop(self) -> None:
        self.judge.stop()

    def put(self, camera: str, name: str, settings: WatchSettings) -> WatchStatus:
        """Make or change a watch, and keep it. Raises `WatchError` for one too many, `AtCapacityError` for a zone too many, `UnkeptError` where
        it cannot be written down; then all is as it was."""
        known = self.judge.watches(camera)
        if name not in known and len(known) >= MOST_PER_CAMERA:
            raise WatchError(
                f"camera {camera}: expected at most {MOST_PER_CAMERA} watches, got one more; remove one, or ask less",
                expected=f"at most {MOST_PER_CAMERA} watches of a camera",
                got=str(len(known) + 1),
            )
        try:
            self._open_zone(camera, settings.zone)
            if self._store is not None:
                with _written_down(camera, name):
                    self._store.put(camera, name, settings)
            self.judge.put(camera, name, settings)
        finally:
            self._close_zones(camera)
        return self.status(camera, name)

    def remove(self, camera: str, name: str) -> None:
        """Raises `UnknownWatchError`, and `UnkeptError` where it cannot be written down; then all is as it was."""
        self.status(camera, name)
        if self._store is not None:
            with _written_down(camera, name):
                self._store.remove(camera, name)
        self.judge.take_off(camera, name)
        self._close_zones(camera)

    def status(self, camera: str, name: str) -> WatchStatus:
        """Raises `UnknownWatchError`."""
        for one in self.all(camera):
            if one.name == name:
                return one
        known = ", ".join(self.judge.watches(camera)) or "none"
        raise UnknownWatchError(
            f"camera {camera}: expected one of its watches ({known}), got {name[:64]!r}", expected=known, got=name[:64]
        )

    def all(self, camera: str | None = None) -> list[WatchStatus]:
        """Of one camera, or of all."""
        return [
            WatchStatus(
                camera=each,
                name=name,
                state=watch.life.phase.value,
                probability=None if watch.life.probability is None else round(watch.life.probability, 4),
                event=watch.life.event.id if watch.life.event is not None else None,
                problem=watch.problem,
                settings=watch.settings,
            )
            for each in ([camera] if camera is not None else self._feeds)
            for name, watch in self.judge.watches(each).items()
        ]

    def _eyes(self, camera: str, zone: tuple[Polygon, ...]) -> CameraView | None:
        return self._views.get((camera, zone)) if zone else self._feeds[camera]

    def _open_zone(self, camera: str, zone: tuple[Polygon, ...]) -> None:
        """Each zone has a window of its own. Raises `AtCapacityError`."""
        with self._zones:
            if not zone or (camera, zone) in self._views:
                return
            if len(self._views) >= self._max_zones:
                raise AtCapacityError(
                    f"camera {camera}: expected at most {self._max_zones} zones of all cameras, got one more; raise watches.max_zones",
                    expected=f"at most {self._max_zones} zones",
                    setting="watches.max_zones",
                )
            try:
                stream = self._engine.open(f"{camera}/zone{next(self._numbers)}", self._zone_session)
            except CapacityError as error:
                why = f"camera {camera}: no room for one more zone: {error}"
                raise AtCapacityError(why, expected="a free place", setting="engine.num_pages") from error
            self._views[camera, zone] = ZoneView(self._feeds[camera], stream, zone)

    def _close_zones(self, camera: str) -> None:
        """Zones that no watch looks at any more."""
        with self._zones:
            wanted = {watch.settings.zone for watch in self.judge.watches(camera).values()}
            for key in [key for key in self._views if key[0] == camera and key[1] not in wanted]:
                self._views.pop(key).close()


@contextmanager
def _written_down(camera: str, name: str) -> Iterator[None]:
    """Raises `UnkeptError` for what the disk says."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise UnkeptError(
            f"camera {camera}: expected to write down watch {name}, got: {why}; nothing has changed; make room in the data folder",
            expected="a data folder that can be written",
            got=why,
            setting="data",
            retry_after_s=RETRY_AFTER_S,
        ) from error

"""Watches that were made while the service ran, kept for its next start.

In: watches by camera and name. Out: the same from a JSON file, replaced whole in one step. What the configuration file says of a watch of
the same name is older and gives way.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

from pydantic import ValidationError

from stream.errors import SettingsError
from stream.watch.settings import WatchSettings

log = logging.getLogger(__name__)

Watches = dict[str, dict[str, WatchSettings]]
"""Settings by camera and name."""


class WatchStore:
    """Raises `SettingsError` when the file is there and cannot be read. A watch in it that is not valid any more is told and left out.

    `put` and `remove` raise `OSError` when the file cannot be written: then nothing has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._watches = self._load()

    def all(self) -> Watches:
        with self._lock:
            return {camera: dict(watches) for camera, watches in self._watches.items()}

    def put(self, camera: str, name: str, settings: WatchSettings) -> None:
        with self._lock:
            self._save({**self._watches, camera: {**self._watches.get(camera, {}), name: settings}})

    def remove(self, camera: str, name: str) -> None:
        with self._lock:
            mine = self._watches.get(camera, {})
            if name in mine:
                self._save({**self._watches, camera: {key: one for key, one in mine.items() if key != name}})

    def _load(self) -> Watches:
        if not self._path.exists():
            return {}
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            items = [(camera, name, body) for camera, watches in document.items() for name, body in watches.items()]
        except (OSError, ValueError, AttributeError) as error:
            raise SettingsError(
                f"watches {self._path}: expected a JSON object of watches by camera and name, got {type(error).__name__}; "
                "mend the file or move it away"
            ) from None
        watches: Watches = {}
        for camera, name, body in items:
            try:
                watches.setdefault(camera, {})[name] = WatchSettings.model_validate(body)
            except ValidationError as error:
                log.warning("watch %s of camera %s: left out: %s", name, camera, error.errors(include_url=False)[0]["msg"])
        return watches

    def _save(self, watches: Watches) -> None:
        document = {
            camera: {name: one.model_dump(mode="json", exclude_defaults=True) for name, one in mine.items()}
            for camera, mine in watches.items()
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_name(self._path.name + ".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
        self._watches = watches

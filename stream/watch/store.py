"""Watches that were made while the service ran, kept for its next start.

In: watches by camera and name. Out: the same from a JSON file with a checksum, replaced whole in one step, of which there is a copy: what one
flipped bit takes, the other still has. What the configuration file says of a watch of the same name is older and gives way.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from pydantic import ValidationError

from stream.errors import SettingsError
from stream.watch.settings import WatchSettings

log = logging.getLogger(__name__)

Watches = dict[str, dict[str, WatchSettings]]
"""Settings by camera and name."""


VERSION = 2
"""Of the file. Version 1 was the watches alone, without a checksum; it is read, and written anew. A file of version 2 without one was
edited by hand."""
DAMAGED = "damaged"


class WatchStore:
    """Raises `SettingsError` when neither the file nor its copy can be read. A watch in it that is not valid any more is told and left out.
    `num_damaged`: files that were damaged when it was opened, and were made anew from the other; the damaged one is kept beside them.

    `put` and `remove` raise `OSError` when the file cannot be written: then nothing has changed."""

    def __init__(self, path: Path) -> None:
        self.num_damaged = 0
        self._path, self._copy = path, path.with_name(path.name + ".copy")
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
        found = [_read(path) for path in (self._path, self._copy)]
        if found[0] is None:
            return {}
        document = next((one for one in found if isinstance(one, dict)), None)
        if document is None:
            raise SettingsError(
                f"watches {self._path}: expected a JSON object of watches by camera and name, here or in its copy, got neither; "
                "mend the file or move it away"
            )
        for path, one in zip((self._path, self._copy), found, strict=True):
            if one == DAMAGED:
                self._set_aside(path)
        if found != [document, document]:
            with suppress(OSError):  # what was read is right; it is written with the next change
                self._write(document)
        return _valid(document)

    def _set_aside(self, path: Path) -> None:
        self.num_damaged += 1
        aside = path.with_name(f"{path.name}.damaged")
        log.error("watches %s: expected what was written, got a damaged file; it is kept as %s", path, aside.name)
        with suppress(OSError):
            path.replace(aside)

    def _save(self, watches: Watches) -> None:
        document = {
            camera: {name: one.model_dump(mode="json", exclude_defaults=True) for name, one in mine.items()}
            for camera, mine in watches.items()
        }
        self._write(document)
        self._watches = watches

    def _write(self, document: dict[str, Any]) -> None:
        """The file, then its copy. Raises `OSError` when the file is as it was."""
        text = json.dumps({"version": VERSION, "crc32": _sum(document), "watches": document}, indent=1)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _replace(self._path, text)
        try:
            _replace(self._copy, text)
        except OSError as error:
            log.warning("watches %s: stays as it was (%s)", self._copy, error.strerror)


def _read(path: Path) -> dict[str, Any] | str | None:
    """Watches by camera and name, as JSON has them; `DAMAGED`; None without a file."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return DAMAGED
    if not isinstance(said, dict):
        return DAMAGED
    document = said.get("watches") if isinstance(said.get("version"), int) else said
    is_whole = isinstance(document, dict) and all(isinstance(mine, dict) for mine in document.values())
    if not is_whole or ("crc32" in said and said["crc32"] != _sum(document)):
        return DAMAGED
    return document


def _valid(document: dict[str, Any]) -> Watches:
    watches: Watches = {}
    for camera, mine in document.items():
        for name, body in mine.items():
            try:
                watches.setdefault(camera, {})[name] = WatchSettings.model_validate(body)
            except ValidationError as error:
                log.warning("watch %s of camera %s: left out: %s", name, camera, error.errors(include_url=False)[0]["msg"])
    return watches


def _sum(document: object) -> str:
    """Of the watches as compact JSON, so that indenting changes nothing."""
    return f"{crc32(json.dumps(document, sort_keys=True, separators=(',', ':')).encode()):08x}"


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)

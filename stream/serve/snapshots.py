"""Pictures of events, one file each, bounded.

In: JPEG bytes under an event's id. Out: the same; the oldest go when there are too many bytes. A disk that is full costs the picture,
never the event. Behind a picture's end, where no viewer looks, stands its checksum: a damaged one is not shown as if it were whole.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import threading
from collections import OrderedDict
from pathlib import Path
from zlib import crc32

import numpy as np

log = logging.getLogger(__name__)

JPEG_QUALITY = 85
MAX_BYTES = 256 << 20
_SEAL = struct.Struct("<4sI")
"""Behind the picture: a mark, and its CRC-32. Pictures of older versions have none."""
_MARK = b"OV2c"
ID = re.compile(r"[0-9]+\.[0-9]{6}-[a-z0-9]{6}")
"""Ids of events (docs/mqtt.md): nothing else becomes a file name."""


class Snapshots:
    """Safe for any thread. `num_damaged`: times that a picture was asked for which is damaged."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._lock = threading.Lock()
        self.num_damaged = 0
        files = sorted(folder.glob("*.jpg"), key=lambda path: path.name) if folder.is_dir() else []
        self._sizes = OrderedDict((path.stem, path.stat().st_size) for path in files)
        self._used = sum(self._sizes.values())

    def put(self, event_id: str, jpeg: bytes) -> bool:
        """False when it could not be kept."""
        assert ID.fullmatch(event_id), event_id
        path = self._path(event_id)
        data = jpeg + _SEAL.pack(_MARK, crc32(jpeg))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_bytes(data)
            part.replace(path)
        except OSError as error:
            log.warning("snapshot of event %s: not kept: %s", event_id, error.strerror)
            return False
        with self._lock:
            self._used += len(data) - self._sizes.pop(event_id, 0)
            self._sizes[event_id] = len(data)
            while self._used > self._max_bytes and len(self._sizes) > 1:
                oldest, size = self._sizes.popitem(last=False)
                self._used -= size
                self._path(oldest).unlink(missing_ok=True)
        return True

    def get(self, event_id: str) -> bytes | None:
        """None for a picture that is not kept, or damaged."""
        if not ID.fullmatch(event_id):
            return None
        try:
            data = self._path(event_id).read_bytes()
        except FileNotFoundError:
            return None
        picture, seal = data[: -_SEAL.size], data[-_SEAL.size :]
        mark, total = _SEAL.unpack(seal) if len(seal) == _SEAL.size else (b"", 0)
        if mark != _MARK:
            return data
        if crc32(picture) != total:
            self.num_damaged += 1
            log.error("snapshot of event %s: expected what was written, got a damaged picture; it is not shown", event_id)
            return None
        return picture

    def _path(self, event_id: str) -> Path:
        return self._folder / f"{event_id}.jpg"


def jpeg(picture: np.ndarray) -> bytes:
    """uint8 [height, width, 3] RGB as JPEG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()

"""Clips as they are asked for over HTTP: cut once by threads of their own, sent from a cache, all of it counted and bounded.

In: a camera's recorder and two moments. Out: an open clip, or a refusal. However many are asked for, so many wait and so many are open;
nobody else waits for these threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from stream.camera.errors import RETRY_AFTER_S, AtCapacityError
from stream.camera.recording import Recorder, Stretch
from stream.config.sections import ClipOptions
from stream.errors import PacketLogError, StretchError
from stream.packetlog.clip import MAX_CLIP_BYTES
from stream.serve.clip_cache import CachedClip, ClipCache
from stream.serve.errors import ClipError, NoMediaError

log = logging.getLogger(__name__)
Got = TypeVar("Got")

NUM_CUTTERS = 2
"""Threads that cut. More would take the interpreter from everybody else."""
NUM_READERS = 4
"""Threads that read: chunks of clips, pictures, what a log covers."""
NUM_TRIES = 2
"""A clip that was cut may be thrown away before it is opened, where many are asked for."""


class Asked(NamedTuple):
    """A stretch in its asker's words."""

    camera: str
    start: str
    end: str


class OpenClip:
    """A clip that can be read, whatever becomes of the cache. `close` it; twice is once."""

    def __init__(self, clips: Clips, cached: CachedClip, file: BinaryIO) -> None:
        self.cached = cached
        self._clips, self._file = clips, file
        self._is_open = True

    async def read(self, num_bytes: int, at: int) -> bytes:
        return await self._clips.read(os.pread, self._file.fileno(), num_bytes, at)

    def too_slow(self) -> None:
        """Its client did not take it in time."""
        self._clips.refused["clip_client_too_slow"] += 1

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._clips.release(self.cached, self._file)


class Clips:
    """Belongs to the event loop. `refused` counts what was turned away, by reason. What an earlier process left behind is removed at once."""

    def __init__(self, folder: Path, options: ClipOptions, *, refused: Counter[str]) -> None:
        self.refused = refused
        self.write_timeout_s = options.write_timeout_s
        self._options = options
        self._max_bytes = min(MAX_CLIP_BYTES, options.max_mb << 20)
        self._cache = ClipCache(folder, max_bytes=options.max_mb << 20, max_files=options.max_files)
        self._cutters = ThreadPoolExecutor(NUM_CUTTERS, "clip cutter")
        self._readers = ThreadPoolExecutor(NUM_READERS, "media reader")
        self._cutting: dict[Hashable, asyncio.Future[None]] = {}
        self._latest: OrderedDict[Asked, Hashable] = OrderedDict()
        self._num_open = 0

    @property
    def num_open(self) -> int:
        """Clips that are waited for or being sent."""
        return self._num_open

    async def read(self, what: Callable[..., Got], *args: object) -> Got:
        """A short work for the disk, in a thread of the media's own."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, what, *args)

    async def open(self, asked: Asked, recorder: Recorder, *, continues: bool = False) -> OpenClip:
        """The clip of a stretch. `continues`: the rest of one that was asked for before in the same words, so that times relative to a log
        that grows mean the same again. Raises `ServiceError`."""
        if self._num_open >= self._options.max_open:
            raise self._full("clips_open", f"{self._options.max_open} clips are being sent", "clips.max_open")
        self._num_open += 1
        try:
            return await self._open(asked, recorder, continues)
        except BaseException as error:
            self._num_open -= 1
            if isinstance(error, StretchError):
                raise NoMediaError(f"camera {asked.camera}: {error}", expected="a time that was recorded") from None
            if isinstance(error, PacketLogError | OSError):
                log.warning("camera %s: a clip could not be cut: %s", asked.camera, error)
                raise _uncut(asked.camera) from None
            raise

    async def _open(self, asked: Asked, recorder: Recorder, continues: bool) -> OpenClip:
        if continues and (found := await self._opened(self._latest.get(asked))) is not None:
            return found
        stretch = await self.read(recorder.stretch, asked.start, asked.end)
        key = (asked.camera, *stretch.identity)
        for _ in range(NUM_TRIES):
            if (found := await self._opened(key)) is not None:
                self._remember(asked, key)
                return found
            await self._cut(key, recorder, stretch)
        raise self._full("clips_cached", "the cache holds no more", "clips.max_files")

    async def _opened(self, key: Hashable) -> OpenClip | None:
        found = None if key is None else await self.read(self._cache.open, key)
        return None if found is None else OpenClip(self, *found)

    def _remember(self, asked: Asked, key: Hashable) -> None:
        self._latest[asked] = key
        self._latest.move_to_end(asked)
        while len(self._latest) > self._options.max_files:
            self._latest.popitem(last=False)

    async def _cut(self, key: Hashable, recorder: Recorder, stretch: Stretch) -> None:
        """Wait until it is cut: by the one who asked for it first."""
        running = self._cutting.get(key)
        if running is None:
            if len(self._cutting) >= NUM_CUTTERS + self._options.max_waiting:
                raise self._full("clips_waiting", f"{self._options.max_waiting} clips wait to be cut", "clips.max_waiting")
            if self._cache.is_full:
                raise self._full("clips_cached", "the cache is full of clips that are being sent", "clips.max_mb")
            running = asyncio.get_running_loop().run_in_executor(self._cutters, self._cut_now, key, recorder, stretch)
            self._cutting[key] = running
            running.add_done_callback(lambda done: self._has_cut(key, done))
        await asyncio.wait([running])  # of those who wait, one that leaves does not end it for the others
        running.result()

    def _cut_now(self, key: Hashable, recorder: Recorder, stretch: Stretch) -> None:
        path = self._cache.room()
        try:
            clip = recorder.cut(stretch, path, max_bytes=self._max_bytes)
            self._cache.add(key, path, clip.start_s, clip.end_s)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _has_cut(self, key: Hashable, done: asyncio.Future[None]) -> None:
        del self._cutting[key]
        if not done.cancelled():
            done.exception()  # told to those who wait; where all have left, to nobody

    def release(self, cached: CachedClip, file: BinaryIO) -> None:
        """What `OpenClip.close` calls."""
        self._num_open -= 1
        self._cache.release(cached, file)

    def close(self) -> None:
        """Waits for the clips that are being cut; those that wait are not."""
        self._cutters.shutdown(cancel_futures=True)
        self._readers.shutdown(cancel_futures=True)
        self._cache.close()

    def _full(self, reason: str, why: str, setting: str) -> AtCapacityError:
        self.refused[reason] += 1
        return AtCapacityError(
            f"clips: expected a free place, {why}; ask again, or set {setting}",
            expected="a free place",
            setting=setting,
            retry_after_s=RETRY_AFTER_S,
        )


def _uncut(camera: str) -> ClipError:
    return ClipError(
        f"camera {camera}: the clip could not be cut now; the log of the service says why",
        expected="a recording and a disk that can be read and written",
        retry_after_s=RETRY_AFTER_S,
    )

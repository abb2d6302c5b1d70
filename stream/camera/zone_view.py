"""A camera as somebody sees it who sees one zone of it alone.

In: a camera's feed, a stream of the engine, polygons. Out: looks in which nothing outside the zone counts. It has a window of its own on the
engine, so that what happened outside is not in its memory either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

from ov2.canvas import CanvasGroup
from ov2.engine import Stream
from ov2.errors import ClosedError
from stream.camera.pipeline import CameraPipeline
from stream.watch.look import Look
from stream.watch.zone import Polygon, only_inside


class ZoneView:
    """Follows `feed` from now on."""

    def __init__(self, feed: CameraPipeline, stream: Stream, zone: tuple[Polygon, ...]) -> None:
        self._feed, self._stream, self._zone = feed, stream, zone
        feed.followers.append(self._follow)

    def look(self, statements: Sequence[str], *, within_s: float | None = None, after_s: float = -math.inf) -> Look | None:
        return self._feed.look(statements, within_s=within_s, after_s=after_s, stream=self._stream, through=self._mask)

    def close(self) -> None:
        self._feed.followers.remove(self._follow)
        self._stream.close()

    def _mask(self, group: CanvasGroup) -> CanvasGroup:
        return only_inside(group, self._zone)

    def _follow(self, group: CanvasGroup) -> None:
        with suppress(ClosedError):
            self._stream.append(self._mask(group))

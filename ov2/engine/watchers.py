"""Callers that wait for something to come true: groups that are settled, a window that is renewed.

In: a stream, and what to wait for. Out: futures that are set between two steps.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from ov2.engine.stream_state import StreamState


class Watchers:
    """`notify` after every step."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], bool], Future[None]]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def when_settled(self, stream: StreamState, future: Future[None]) -> None:
        """Until the groups taken so far are appended or left out."""
        num_groups = stream.num_taken
        self._waiting.append((lambda: stream.closed or stream.num_settled >= num_groups, future))

    def when_renewed(self, stream: StreamState, future: Future[None]) -> None:
        """Until the renewal that is wanted is done, or has failed."""
        num_before = stream.window.num_renewals
        self._waiting.append((lambda: stream.closed or not stream.waits_for_renewal(num_before), future))

    def notify(self) -> None:
        for watched in list(self._waiting):
            has_come, future = watched
            failure: Exception | None = None
            try:
                if not has_come():
                    continue
            except Exception as error:  # noqa: BLE001  it belongs to the one who waits
                failure = error
            self._waiting.remove(watched)
            if not future.set_running_or_notify_cancel():
                continue
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(None)

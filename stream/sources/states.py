"""What a camera may be doing, and which step may follow which.

In: the wish to change state, from the threads of one camera. Out: the new state with its reason and time; an unlawful step is a
programming error (assert).

    connecting -> live <-> degraded        packets come; degraded: some are damaged or dropped, or the picture is late
                  live, degraded <-> stalled    connected, and no packet for longer than this camera ever paused
    any of them -> offline -> connecting   not connected; the next attempt comes after a pause
    any -> disabled -> connecting          by its owner
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum


class CameraState(StrEnum):
    CONNECTING = "connecting"
    LIVE = "live"
    DEGRADED = "degraded"
    STALLED = "stalled"
    OFFLINE = "offline"
    DISABLED = "disabled"


_FLOWING = frozenset({CameraState.LIVE, CameraState.DEGRADED})
_DOWN = frozenset({CameraState.OFFLINE, CameraState.DISABLED})
LAWFUL: dict[CameraState, frozenset[CameraState]] = {
    CameraState.CONNECTING: frozenset({CameraState.LIVE}) | _DOWN,
    CameraState.LIVE: frozenset({CameraState.DEGRADED, CameraState.STALLED}) | _DOWN,
    CameraState.DEGRADED: frozenset({CameraState.LIVE, CameraState.STALLED}) | _DOWN,
    CameraState.STALLED: _FLOWING | _DOWN,
    CameraState.OFFLINE: frozenset({CameraState.CONNECTING, CameraState.DISABLED}),
    CameraState.DISABLED: frozenset({CameraState.CONNECTING}),
}


class StateMachine:
    """The state, why it is so, and since when. `on_change` is told of every step, by the thread that made it."""

    def __init__(
        self,
        initial: CameraState,
        *,
        on_change: Callable[[CameraState], None] = lambda state: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.state = initial
        self.reason = ""
        self.since_s = clock()
        self._clock = clock
        self._on_change = on_change
        self._lock = threading.Lock()

    @property
    def is_flowing(self) -> bool:
        return self.state in _FLOWING

    def to(self, state: CameraState, reason: str = "") -> None:
        """Take a step; staying where it is changes the reason alone."""
        with self._lock:
            changed = self._step(state, reason)
        if changed:
            self._on_change(state)

    def move(self, before: CameraState, after: CameraState, reason: str = "") -> bool:
        """The same, only from `before`: for a thread that cannot know what another has made of it meanwhile."""
        with self._lock:
            if self.state is not before:
                return False
            changed = self._step(after, reason)
        if changed:
            self._on_change(after)
        return changed

    def _step(self, state: CameraState, reason: str) -> bool:
        if state is self.state:
            self.reason = reason
            return False
        assert state in LAWFUL[self.state], f"camera state: expected one of {sorted(LAWFUL[self.state])}, got {state}"
        self.state, self.reason, self.since_s = state, reason, self._clock()
        return True

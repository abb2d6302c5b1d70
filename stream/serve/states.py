"""What a camera may be doing, and which step may follow which.

In: the wish to change state. Out: the new state with its reason and time; an unlawful step is a programming error (assert).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum


class CameraState(StrEnum):
    CONNECTING = "connecting"
    LIVE = "live"
    OFFLINE = "offline"
    DISABLED = "disabled"


LAWFUL: dict[CameraState, frozenset[CameraState]] = {
    CameraState.CONNECTING: frozenset({CameraState.LIVE, CameraState.OFFLINE}),
    CameraState.LIVE: frozenset({CameraState.OFFLINE}),
    CameraState.OFFLINE: frozenset({CameraState.LIVE}),
    CameraState.DISABLED: frozenset(),
}

MQTT_STATUS = {
    CameraState.CONNECTING: "offline",
    CameraState.LIVE: "online",
    CameraState.OFFLINE: "offline",
    CameraState.DISABLED: "disabled",
}
"""The words of the `<camera>/status` topic."""


class StateMachine:
    """The state, why it is so, and since when. `on_change` is told of every step."""

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

    def to(self, state: CameraState, reason: str = "") -> None:
        assert state in LAWFUL[self.state], f"camera state: expected one of {sorted(LAWFUL[self.state])}, got {state}"
        self.state, self.reason, self.since_s = state, reason, self._clock()
        self._on_change(state)

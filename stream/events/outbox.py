"""What waits for the broker: the latest value of each retained topic, and a bounded line of events.

In: messages, from any thread. Out: the next message to send. An event stays until it was acknowledged, so a connection that
breaks in the middle sends it again (at least once). When the line is full the oldest event drops, and is counted.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """One publication."""

    topic: str
    payload: bytes
    retain: bool


class Outbox:
    def __init__(self, capacity: int) -> None:
        assert capacity > 0
        self.dropped = 0
        self._capacity = capacity
        self._lock = threading.Lock()
        self._events: deque[Message] = deque()
        self._retained: dict[str, Message] = {}
        self._waiting: dict[str, Message] = {}

    def __len__(self) -> int:
        with self._lock:
            return len(self._events) + len(self._waiting)

    def put(self, message: Message) -> None:
        """Take a message. A retained one replaces the value that still waits for its topic."""
        with self._lock:
            if message.retain:
                self._retained[message.topic] = self._waiting[message.topic] = message
                return
            if len(self._events) == self._capacity:
                self._events.popleft()
                self.dropped += 1
            self._events.append(message)

    def renew(self) -> None:
        """Every retained topic waits again: the broker may have forgotten them."""
        with self._lock:
            self._waiting = dict(self._retained)

    def first(self) -> Message | None:
        """The next message: events in order, then states."""
        with self._lock:
            if self._events:
                return self._events[0]
            return next(iter(self._waiting.values()), None)

    def done(self, message: Message) -> None:
        """Forget a message that the broker acknowledged, unless a newer value has taken its place."""
        with self._lock:
            if message.retain:
                if self._waiting.get(message.topic) is message:
                    del self._waiting[message.topic]
            elif self._events and self._events[0] is message:
                self._events.popleft()

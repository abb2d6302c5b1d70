"""The latest value of each retained topic, and which of them the broker has yet to hear.

In: values, from any thread. Out: the next one to send. After a reconnect all of them wait again: a broker may have forgotten. An
empty value removes a topic at the broker, and then here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from stream.events.topics import Message


class Retained:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, Message] = {}
        self._waiting: dict[str, Message] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def set(self, message: Message, *, sent: bool = False) -> None:
        """Take a value in the place of an older one, waiting or not. `sent`: the broker has it already."""
        assert message.retain
        with self._lock:
            if sent:
                self._waiting.pop(message.topic, None)
            else:
                self._waiting[message.topic] = message
            if message.payload or not sent:
                self._values[message.topic] = message

    def renew(self, test: Callable[[str], bool] = lambda topic: True) -> None:
        """The values of these topics wait again."""
        with self._lock:
            self._waiting |= {topic: message for topic, message in self._values.items() if test(topic)}

    def first(self) -> Message | None:
        with self._lock:
            return next(iter(self._waiting.values()), None)

    def done(self, message: Message) -> None:
        """The broker has it. A newer value of the same topic still waits."""
        with self._lock:
            if self._waiting.get(message.topic) is message:
                del self._waiting[message.topic]
                if not message.payload:
                    self._values.pop(message.topic, None)

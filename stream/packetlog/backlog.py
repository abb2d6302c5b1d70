"""What waits for the disk: bounded, and frank about what it drops.

In: entries, from the camera's thread, which never waits. Out: the same in batches, to the thread that writes. When there is no room the
newest are dropped, and a `Hole` that counts them goes in front of the next entry.
"""

from __future__ import annotations

import threading

from stream.packetlog.entries import Entry, Hole, Recorded, Start

FLUSH_S = 0.1
"""How long a batch gathers: half of what a crash of the process may cost."""
_HURRY = 2
"""A backlog that is full to one part in so many does not wait for more."""


class Backlog:
    """Holds at most `max_packets` entries and `max_bytes` bytes of them."""

    def __init__(self, max_packets: int, max_bytes: int) -> None:
        self.num_dropped = 0
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._entries: list[Entry] = []
        self._num_bytes = 0
        self._missing = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, entry: Entry) -> bool:
        """Never waits. False for what was dropped, or came after `close`."""
        num_bytes = len(entry.packet.data) if isinstance(entry, Recorded) else 0
        with self._changed:
            if self._closed:
                return False
            is_full = len(self._entries) >= self._max_packets or self._num_bytes + num_bytes > self._max_bytes
            if is_full and not isinstance(
                entry, Start
            ):  # without a start all that follows would be taken for another recording
                self._drop()
                return False
            if self._missing:
                self._entries.append(Hole(self._missing))
                self._missing = 0
            self._entries.append(entry)
            self._num_bytes += num_bytes
            if len(self._entries) == 1 or self._hurries():
                self._changed.notify_all()
            return True

    def drop(self) -> None:
        """Count a packet that the log cannot take, and leave its hole."""
        with self._changed:
            self._drop()

    def wait_for_room(self, num_bytes: int, timeout_s: float | None = None) -> bool:
        """For a source that can wait (a file): until an entry of this size is taken. False when time ran out."""
        with self._changed:
            return self._changed.wait_for(
                lambda: (
                    self._closed
                    or not self._entries
                    or (len(self._entries) + 1 < self._max_packets and self._num_bytes + num_bytes <= self._max_bytes)
                ),
                timeout_s,
            )

    def take(self, timeout_s: float | None) -> list[Entry] | None:
        """The next batch, empty when none came in `timeout_s`; None once closed and empty."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._entries or self._closed, timeout_s):
                return []
            self._changed.wait_for(lambda: self._closed or self._hurries(), FLUSH_S)
            if not self._entries:
                return None
            entries, self._entries, self._num_bytes = self._entries, [], 0
            self._changed.notify_all()
            return entries

    def close(self) -> None:
        """No more entries; the writer gets those that are here, then None. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _hurries(self) -> bool:
        return _HURRY * len(self._entries) >= self._max_packets or _HURRY * self._num_bytes >= self._max_bytes

    def _drop(self) -> None:
        self.num_dropped += 1
        self._missing += 1

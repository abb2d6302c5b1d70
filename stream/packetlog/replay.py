"""A recording played again: at any speed, and through a tokenizer as if it were live.

In: a `PacketLog`'s entries. Out: the same entries when they are due; the groups that the live tokenizer made of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from ov2.canvas import CanvasGroup
from stream.packetlog.entries import Recorded, Start, Steer
from stream.tokenizer.inputs import AnyTokenizer

LogEntry = Recorded | Start | Steer


class Pace:
    """When packets are due. `speed`: 1 as they came, 2 twice as fast, 0 at once. Between two recordings nothing is waited for."""

    def __init__(self, speed: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        assert speed >= 0, f"speed: expected zero or more, got {speed}"
        self._speed = speed
        self._monotonic = monotonic
        self._zero_s: float | None = None

    def due_s(self, entry: LogEntry) -> float:
        """By `monotonic`; the past for what is due at once."""
        if isinstance(entry, Start):
            self._zero_s = None
        if not self._speed or not isinstance(entry, Recorded):
            return float("-inf")
        played_s = entry.packet.media_s / self._speed
        if self._zero_s is None:
            self._zero_s = self._monotonic() - played_s
        return self._zero_s + played_s


def paced(
    entries: Iterable[LogEntry],
    speed: float = 1.0,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[LogEntry]:
    """Entries when they are due."""
    pace = Pace(speed, monotonic)
    for entry in entries:
        wait_s = pace.due_s(entry) - monotonic()
        if wait_s > 0:
            sleep(wait_s)
        yield entry


def tokenized(entries: Iterable[LogEntry], tokenizer_of: Callable[[Start | None], AnyTokenizer]) -> Iterator[CanvasGroup]:
    """Groups of a replay: those of the live run, bit for bit, where the log holds the whole run and `tokenizer_of` gives a tokenizer with
    the recorded settings. Every recording of a log has a tokenizer of its own; None stands for one whose start is lost."""
    tokenizer: AnyTokenizer | None = None
    for entry in entries:
        if isinstance(entry, Start):
            if tokenizer is not None:
                yield from tokenizer.flush()
            tokenizer = tokenizer_of(entry)
            continue
        if tokenizer is None:
            tokenizer = tokenizer_of(None)
        yield from _apply(tokenizer, entry)
    if tokenizer is not None:
        yield from tokenizer.flush()


def _apply(tokenizer: AnyTokenizer, entry: Recorded | Steer) -> list[CanvasGroup]:
    match entry:
        case Recorded(packet, widen):
            tokenizer.widen(widen)
            return tokenizer.push(packet)
        case Steer("advance", media_s):
            return tokenizer.advance(media_s)
        case Steer("force"):
            return tokenizer.force()
        case _:
            return tokenizer.flush()

"""The rolling window of a stream: which groups stand in its context, and what its limits ask for.

In: encoded groups. Out: their tokens, room for them, and whether a renewal is due. Nothing here runs the model: the
engine's scheduler does, together with the work of other streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ov2.errors import PromptError, SessionError
from ov2.kv_sequence import KVSequence
from ov2.prompt import run_tokens
from ov2.segment import EncodedGroup
from ov2.session_settings import Limits
from ov2.text import TextTokenizer

EARLY_SHARE = 0.8
"""A renewal in the background begins when so much of the room between a fresh window and a limit is used: later is cheaper."""


class Window:
    """`context` holds the system text, then groups in order of time. `num_renewals` and `num_dropped` (groups that left) count."""

    def __init__(self, limits: Limits, text: TextTokenizer, context: KVSequence) -> None:
        self.limits = limits
        self.context = context
        self.num_renewals = self.num_dropped = 0
        self._text = text
        self._zero_s: float | None = None
        self._renewed_s = 0.0

    @property
    def num_tokens(self) -> int:
        """Tokens in the window, the system text included."""
        return self.context.num_tokens

    @property
    def num_positions(self) -> int:
        """Positions used since the last renewal: the next token's position."""
        return self.context.next_position

    @property
    def zero_s(self) -> float:
        """Media seconds of timestamp zero: the start of the oldest group at the last renewal (0 before the first group)."""
        return self._zero_s or 0.0

    @property
    def groups(self) -> tuple[EncodedGroup, ...]:
        """Groups in the window, oldest first."""
        return tuple(segment.group for segment in self.context.segments if segment.group is not None)

    @property
    def span_s(self) -> tuple[float, float] | None:
        """Media seconds (start, end) in the window; None before the first group."""
        return span_of(self.groups)

    def require_recall(
        self, recalled: Sequence[EncodedGroup], needed: int, peek: EncodedGroup | None = None, *, beside: bool
    ) -> None:
        """Raise `PromptError` unless older groups fit: `beside` the window into the positions kept free for them, else with `needed`
        more tokens and the peek into a window of their own, inside the trained limits."""
        limits, zero_s = self.limits, recalled[0].start_s
        num = sum(len(self.tokens(group, zero_s)) for group in recalled)
        system = self.context.segments[0].num_tokens
        most = (
            limits.recall_tokens
            if beside
            else min(limits.window_tokens + limits.recall_tokens, limits.max_positions - needed) - system
        )
        if num > most:
            setting = "recall_tokens" if beside else "window_tokens"
            raise PromptError(
                f"recall: expected at most {most} tokens of older groups, got {num}; set {setting} higher, or recall fewer"
            )
        if any(late.start_s < early.start_s for early, late in pairwise(recalled)):
            raise PromptError("recall: expected groups in order of time, got others; sort them by start_s")
        last = recalled[-1] if beside or peek is None else peek
        if last.end_s - zero_s > limits.max_timestamp_s:
            raise PromptError(
                f"recall: expected groups within {limits.max_timestamp_s:g} s of each other, the trained times, got "
                f"{last.end_s - zero_s:.1f} s; recall a shorter time"
            )

    def tokens(self, group: EncodedGroup, zero_s: float | None = None) -> list[int]:
        """Tokens of a group with timestamps from `zero_s`, by default the window's; before the first group, from its own start."""
        if zero_s is None:
            zero_s = group.start_s if self._zero_s is None else self._zero_s
        return run_tokens(self._text, group.runs, zero_s=zero_s)

    def start_clock(self, group: EncodedGroup) -> None:
        """The first group is timestamp zero."""
        if self._zero_s is None:
            self._zero_s = self._renewed_s = group.start_s

    def make_room(self, group: EncodedGroup) -> None:
        """Drop the oldest groups until this one fits into the window: in tokens, in stream time, in pages. Raises `SessionError` for one
        that never fits."""
        limits, num_new = self.limits, len(self.tokens(group))
        system = self.context.segments[0].num_tokens
        if system + num_new > limits.window_tokens:
            raise SessionError(
                f"group {group.group_id}: expected at most {limits.window_tokens - system} tokens, got {num_new}; "
                f"set window_tokens higher, or make smaller groups (max_pixels, token_rate)"
            )
        while self.groups and (
            self.num_tokens + num_new > limits.window_tokens
            or group.end_s - self.groups[0].start_s > limits.window_s
            or self._num_pages() + num_new // limits.page_tokens + 1 > limits.window_pages
        ):
            self.context.drop(1)
            self.num_dropped += 1

    def limit_near(self, group: EncodedGroup) -> bool:
        """Whether this group would leave too few positions for a branch, pass the trained timestamps, or renewal is due."""
        return (
            self.num_positions + len(self.tokens(group)) + self.limits.branch_tokens > self.limits.max_positions
            or group.end_s - self.zero_s > self.limits.max_timestamp_s
            or group.end_s - self._renewed_s >= self.limits.renew_s
        )

    def renewal_due(self) -> bool:
        """Whether it is time to begin a renewal in the background: most of the room that `limit_near` leaves is used."""
        span_s = self.span_s
        if span_s is None or span_s[0] <= self.zero_s:
            return False
        limits = self.limits
        fresh, most = limits.window_tokens + limits.recall_tokens, limits.max_positions - limits.branch_tokens
        return (
            self.num_positions > fresh + EARLY_SHARE * (most - fresh)
            or span_s[1] - self.zero_s > limits.window_s + EARLY_SHARE * (limits.max_timestamp_s - limits.window_s)
            or span_s[1] - self._renewed_s >= limits.renew_s
        )

    def branch_limit_near(self, needed: int, peek: EncodedGroup | None) -> bool:
        """Whether a branch would pass a trained limit that a renewal can bring back."""
        if not self.groups:
            return self.num_positions > self.num_tokens + self.limits.recall_tokens
        late = peek is not None and peek.end_s - self.zero_s > self.limits.max_timestamp_s
        return (late and self.groups[0].start_s > self.zero_s) or self.num_positions + needed > self.limits.max_positions

    def renewed(self, fresh: KVSequence, zero_s: float) -> None:
        """Put a context that was written anew, with timestamps from `zero_s`, in place of the old one. Groups that left the window
        meanwhile leave it too."""
        wanted = {id(group) for group in self.groups}
        for index in range(len(fresh.segments) - 1, 0, -1):
            if id(fresh.segments[index].group) not in wanted:
                fresh.drop(index)
        old, self.context = self.context, fresh
        self._zero_s = zero_s
        groups = self.groups
        self._renewed_s = groups[-1].end_s if groups else zero_s
        self.num_renewals += 1
        old.close()

    def drop_group(self, group: EncodedGroup) -> None:
        """Forget one group, where it is still there."""
        for index, segment in enumerate(self.context.segments):
            if segment.group is group:
                self.context.drop(index)
                self.num_dropped += 1
                return

    def begin_again(self, fresh: KVSequence, zero_s: float | None, renewed_s: float) -> None:
        """Put an empty context in place of one whose pages are lost, with timestamps from `zero_s`, as after a renewal at `renewed_s`."""
        self.context, self._zero_s, self._renewed_s = fresh, zero_s, renewed_s

    def require_newer(self, group: EncodedGroup) -> None:
        if self.groups and group.start_s < self.groups[-1].start_s:
            raise SessionError(
                f"group {group.group_id}: expected one that starts at {self.groups[-1].start_s} s or later, "
                f"got {group.start_s} s"
            )

    def require_room(self, needed: int) -> None:
        room = self.limits.max_positions - self.num_tokens - self.limits.recall_tokens
        if needed > room:
            raise PromptError(
                f"question: expected at most {room} tokens with peek and answer beside a window of {self.num_tokens}, "
                f"got {needed}; ask shorter, lower max_tokens, or set branch_tokens higher"
            )

    def _num_pages(self) -> int:
        return sum(len(segment.pages) for segment in self.context.segments)


def span_of(groups: Sequence[EncodedGroup]) -> tuple[float, float] | None:
    """Media seconds (start, end) that groups in order of time cover; None without one."""
    return (groups[0].start_s, groups[-1].end_s) if groups else None

"""What was seen of the cameras in a run, and what follows from it.

In: answers of `GET /v1/cameras` with the time they came, faults. Out: outages, each beside what is allowed for it, and the spacing of
groups. Nothing in here asks anybody: it is plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ov2_bench.chaos.schedule import FaultKind

CONFIRM_S = 2.0
"""A camera is back when new frames come and it is live or degraded, and this goes on for so long; what a dying connection still delivers
is not a recovery. The outage ends where that began."""
SILENCE_S = 1.0
"""Without a new frame for so long, a recovery that was not confirmed yet was none."""
SLACK_S = 5.0
"""Allowed on top of twice the backoff."""
GOOD_S = 60.0
"""A connection of this length begins the backoff anew."""
LIVE = "live"
FLOWING = frozenset({LIVE, "degraded"})
"""States of a camera whose packets come."""


@dataclass(slots=True, kw_only=True)
class Outage:
    """One fault injected into a camera, and what became of it. Times by the run's clock; None while not known.

    `back_s`: the peer is back. `flows_s`: the camera is live or degraded, with new frames. `live_s`: it is live, with nothing lost in the
    last seconds; None where the next fault came first. `backoff_s`: the longest that its pause before the last
    attempt may have been.
    """

    camera: str
    kind: FaultKind
    began_s: float
    healed_s: float | None = None
    back_s: float | None = None
    flows_s: float | None = None
    live_s: float | None = None
    backoff_s: float = 0.0

    @property
    def outage_s(self) -> float | None:
        return None if self.flows_s is None or self.back_s is None else max(0.0, self.flows_s - self.back_s)

    @property
    def until_live_s(self) -> float | None:
        return None if self.live_s is None or self.back_s is None else max(0.0, self.live_s - self.back_s)

    @property
    def allowed_s(self) -> float:
        return 2 * self.backoff_s + SLACK_S

    @property
    def is_late(self) -> bool:
        """Back too late, or not at all."""
        return self.outage_s is None or self.outage_s > self.allowed_s


@dataclass(slots=True)
class Watched:
    """What was seen of one camera. `states`: (since, state) of every change; `closings`: when a poll first saw each new group."""

    states: list[tuple[float, str]] = field(default_factory=list)
    closings: list[float] = field(default_factory=list)
    status: Mapping[str, Any] = field(default_factory=dict)
    outage: Outage | None = None
    _frames: int = 0
    _new_frame_s: float = float("-inf")
    _candidate_s: float | None = None

    def see(self, now_s: float, status: Mapping[str, Any]) -> None:
        """One answer."""
        if not self.states or self.states[-1][1] != status["state"]:
            self.states.append((now_s, status["state"]))
        num_new = status["groups"] - self.status.get("groups", 0)
        self.closings += [now_s] * max(0, num_new)
        has_new = status["frames"] > self._frames
        self._frames, self.status = status["frames"], status
        self._judge(now_s, status["state"], has_new)

    @property
    def state(self) -> str:
        return self.states[-1][1] if self.states else "-"

    @property
    def is_back(self) -> bool:
        """Its packets come; after a fault, they do again."""
        return self.state in FLOWING and (self.outage is None or self.outage.flows_s is not None)

    @property
    def is_live(self) -> bool:
        return self.state == LIVE and self.is_back

    def _judge(self, now_s: float, state: str, has_new: bool) -> None:
        if has_new:
            self._new_frame_s = now_s
        outage = self.outage
        if outage is None or outage.healed_s is None:
            self._candidate_s = None
        elif outage.flows_s is None:
            self._look_for_flow(now_s, outage, state in FLOWING, has_new)
        if outage is not None and outage.flows_s is not None and outage.live_s is None and state == LIVE:
            outage.live_s = self._live_since(outage.flows_s)

    def _live_since(self, flows_s: float) -> float:
        return max(flows_s, self.states[-1][0])

    def _look_for_flow(self, now_s: float, outage: Outage, is_flowing: bool, has_new: bool) -> None:
        if not is_flowing or now_s - self._new_frame_s > SILENCE_S:
            self._candidate_s = None
        elif self._candidate_s is None:
            self._candidate_s = now_s if has_new else None
        elif now_s - self._candidate_s >= CONFIRM_S:
            outage.flows_s, self._candidate_s = self._candidate_s, None


def backoff_ceiling(lives: Sequence[tuple[float, float]], *, first_s: float, longest_s: float) -> float:
    """The longest that the pause after the last of these connections may have been: it doubles from `first_s` to `longest_s` with every
    connection that ends, and begins anew after one of a good minute."""
    ceiling_s = 0.0
    for began_s, ended_s in lives:
        ceiling_s = first_s if ended_s - began_s >= GOOD_S else min(longest_s, max(first_s, 2 * ceiling_s))
    return ceiling_s


def spacing_errors(closings: list[float], start_s: float, end_s: float, spacing_s: float) -> list[float]:
    """How far the times between groups closed in [start_s, end_s] are from `spacing_s`, in seconds."""
    inside = [at_s for at_s in closings if start_s <= at_s <= end_s]
    return [abs(later - earlier - spacing_s) for earlier, later in pairwise(inside)]


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))] if ordered else 0.0

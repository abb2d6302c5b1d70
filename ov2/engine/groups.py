"""Groups: from the line where they wait into the window of their stream.

In: groups of all streams. Out: longer windows; a group that does not fit or comes too late is left out, counted, and told why.
"""

from __future__ import annotations

import logging
import time
from functools import partial

from torch import Tensor

from ov2.engine.state import EngineState, Work
from ov2.engine.stream_state import PendingAppend, StreamState
from ov2.engine.work import PendingGroup
from ov2.errors import CapacityError

MOST_RESTARTS = 3
"""That a group is taken through."""

log = logging.getLogger(__name__)


class Groups:
    """A desk (`state.Desk`)."""

    kind = "group"

    def __init__(self, state: EngineState) -> None:
        self._state = state

    def append(self, line: StreamState, arrival: PendingGroup) -> None:
        """A group joins the line; when that is full, the oldest that is not on its way is skipped."""
        line.num_taken += 1
        line.waiting.append(arrival)
        if len(line.waiting) > line.max_waiting:
            oldest = line.waiting.popleft()
            line.num_settled += 1
            line.skipped["model_behind"] += 1
            self._state.tally.shed["model_behind"] += 1
            if oldest.future.set_running_or_notify_cancel():
                oldest.future.set_exception(CapacityError(f"group {oldest.group.group_id}: skipped, the device is behind"))

    def take_up(self) -> None:
        """The next group of every line; first those that a restart has put back."""
        for line in self._state.lines.values():
            if line.arrival is None and (line.lost or line.waiting):
                line.arrival = (line.lost or line.waiting).popleft()

    def to_encode(self) -> list[PendingGroup]:
        """Groups that come next, the cameras in turn; first those that a question waits for."""
        arrivals = [line.arrival for line in self._state.asked_first() if line.arrival is not None]
        return [arrival for arrival in arrivals if arrival.encoded is None]

    def owners(self) -> list[Work]:
        """Drafts, in the same order."""
        lines = self._state.asked_first()
        for line in lines:
            if line.draft is None and line.arrival is not None:
                arrival = line.arrival
                self._state.barrier.guard(
                    self.kind, partial(self._begin, line, arrival), partial(self.leave_out, line, arrival)
                )
        return [line.draft for line in lines if line.draft is not None]

    def written(self, owner: Work, logits_W: Tensor | None) -> None:
        """The group joins the window once all its tokens are written."""
        assert isinstance(owner, PendingAppend), "expected a draft"
        if owner.passage.left:
            return
        owner.line.finish_draft()
        if not owner.arrival.is_again:
            self._state.tally.counts["groups"] += 1
            self._state.tally.append_s.append(time.perf_counter() - owner.arrival.came_s)
        if owner.arrival.future.set_running_or_notify_cancel():
            owner.arrival.future.set_result(owner.encoded)

    def failed(self, owner: Work, error: Exception) -> None:
        assert isinstance(owner, PendingAppend), "expected a draft"
        owner.passage.close()
        if owner.line.draft is not owner:
            return  # it had joined the window
        owner.line.draft = None
        self.leave_out(owner.line, owner.arrival, error)

    def leave_out(self, line: StreamState, arrival: PendingGroup, error: Exception) -> None:
        """Go on without a group."""
        if line.arrival is arrival:
            line.arrival = None
        line.num_settled += 1
        line.skipped["session"] += 1
        self._state.tally.shed["refused_group"] += 1
        log.warning("stream %s: group %d left out: %s", line.name, arrival.group.group_id, error)
        if arrival.future.set_running_or_notify_cancel():
            arrival.future.set_exception(error)

    def put_back(self, line: StreamState, error: Exception) -> None:
        """The engine begins again: groups of the window, and those on their way, come next. One that was on its way every time is left out,
        with `error`: it may be what the device does not bear."""
        line.put_back()
        for arrival in [one for one in line.lost if one.num_restarts >= MOST_RESTARTS]:
            line.lost.remove(arrival)
            self.leave_out(line, arrival, error)

    def _begin(self, line: StreamState, arrival: PendingGroup) -> None:
        """Make room for the next group of a stream, and fork the branch that it is written on."""
        group, window = arrival.encoded, line.window
        if group is None:
            return
        window.require_newer(group)
        window.start_clock(group)
        window.make_room(group)
        if arrival.renewals is None and window.limit_near(group):
            arrival.renewals = line.want_renewal()
        if line.waits_for_renewal(arrival.renewals):
            return
        line.arrival = None
        line.draft = PendingAppend(line, arrival, line.passage(window.context.fork(), group))

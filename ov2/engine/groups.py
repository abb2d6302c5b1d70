"""Groups: from where they wait into the window of their stream.

In: groups of all streams. Out: longer windows; a group that does not fit or comes too late is left out and counted, and its future says why.
"""

from __future__ import annotations

import logging
import time
from functools import partial

from torch import Tensor

from ov2.engine.state import EngineState
from ov2.engine.stream_state import PendingAppend, StreamState
from ov2.engine.work import PendingGroup
from ov2.errors import CapacityError

MOST_RESTARTS = 3
"""That a group is taken through."""

log = logging.getLogger(__name__)


class Groups:
    """A `WorkQueue[PendingAppend]`."""

    kind = "group"

    def __init__(self, state: EngineState) -> None:
        self._state = state

    def append(self, stream: StreamState, arrival: PendingGroup) -> None:
        """A group waits for its stream; when too many do, the oldest that is not on its way is skipped."""
        stream.num_taken += 1
        stream.waiting.append(arrival)
        if len(stream.waiting) > stream.max_waiting:
            oldest = stream.waiting.popleft()
            stream.num_settled += 1
            stream.skipped["model_behind"] += 1
            self._state.tally.shed["model_behind"] += 1
            if oldest.future.set_running_or_notify_cancel():
                oldest.future.set_exception(CapacityError(f"group {oldest.group.group_id}: skipped, the device is behind"))

    def take_up(self) -> None:
        """The next group of every stream; first those that a restart has put back."""
        for stream in self._state.streams.values():
            if stream.arrival is None and (stream.lost or stream.waiting):
                stream.arrival = (stream.lost or stream.waiting).popleft()

    def to_encode(self) -> list[PendingGroup]:
        """Groups that come next, the cameras in turn; first those that a question waits for."""
        arrivals = [stream.arrival for stream in self._state.asked_first() if stream.arrival is not None]
        return [arrival for arrival in arrivals if arrival.encoded is None]

    def ready(self) -> list[PendingAppend]:
        """One of every stream that has a group to write, in the same order."""
        streams = self._state.asked_first()
        for stream in streams:
            if stream.draft is None and stream.arrival is not None:
                arrival = stream.arrival
                self._state.barrier.guard(
                    self.kind, partial(self._begin, stream, arrival), partial(self.leave_out, stream, arrival)
                )
        return [stream.draft for stream in streams if stream.draft is not None]

    def written(self, work: PendingAppend, logits_W: Tensor | None) -> None:
        """The group joins the window once all its tokens are written."""
        if work.prefill.left:
            return
        work.stream.finish_draft()
        if not work.arrival.is_again:
            self._state.tally.counts["groups"] += 1
            self._state.tally.append_s.append(time.perf_counter() - work.arrival.came_s)
        if work.arrival.future.set_running_or_notify_cancel():
            work.arrival.future.set_result(work.encoded)

    def failed(self, work: PendingAppend, error: Exception) -> None:
        work.prefill.close()
        if work.stream.draft is not work:
            return  # it had joined the window
        work.stream.draft = None
        self.leave_out(work.stream, work.arrival, error)

    def leave_out(self, stream: StreamState, arrival: PendingGroup, error: Exception) -> None:
        """Go on without a group."""
        if stream.arrival is arrival:
            stream.arrival = None
        stream.num_settled += 1
        stream.skipped["session"] += 1
        self._state.tally.shed["refused_group"] += 1
        log.warning("stream %s: group %d left out: %s", stream.name, arrival.group.group_id, error)
        if arrival.future.set_running_or_notify_cancel():
            arrival.future.set_exception(error)

    def put_back(self, stream: StreamState, error: Exception) -> None:
        """The engine begins again: groups of the window, and those on their way, come next. One that was on its way every time is left out,
        with `error`: it may be what the device does not bear."""
        stream.put_back()
        for arrival in [one for one in stream.lost if one.num_restarts >= MOST_RESTARTS]:
            stream.lost.remove(arrival)
            self.leave_out(stream, arrival, error)

    def _begin(self, stream: StreamState, arrival: PendingGroup) -> None:
        """Make room for the next group of a stream, and fork the branch that it is written on."""
        group, window = arrival.encoded, stream.window
        if group is None:
            return
        window.require_newer(group)
        window.start_clock(group)
        window.make_room(group)
        if arrival.renewals is None and window.limit_near(group):
            arrival.renewals = stream.want_renewal()
        if stream.waits_for_renewal(arrival.renewals):
            return
        stream.arrival = None
        stream.draft = PendingAppend(stream, arrival, stream.prefill(window.context.fork(), group))

"""Renewals: windows that are written anew beside the old ones, in the background.

In: windows that come near a trained limit. Out: the same windows from position zero, put in place between two steps. A renewal begins
early and takes what tokens are left over; when a group or a question has to wait for it, it goes first.
"""

from __future__ import annotations

import logging

from torch import Tensor

from ov2.engine.state import EngineState
from ov2.engine.stream_state import Renewal, StreamState
from ov2.errors import RequestError

log = logging.getLogger(__name__)


class Renewals:
    """A `WorkQueue[Renewal]`, for renewals that a group or question waits for, or for the others."""

    kind = "renewal"

    def __init__(self, state: EngineState, *, wanted: bool) -> None:
        self._state, self._wanted = state, wanted

    def ready(self) -> list[Renewal]:
        streams = [stream for stream in self._state.in_turn() if self._is_mine(stream)]
        for stream in streams:
            if stream.renewal is None:
                stream.begin_renewal()
        return [stream.renewal for stream in streams if stream.renewal is not None and stream.renewal.prefill.left]

    def written(self, work: Renewal, logits_W: Tensor | None) -> None:
        """Take up the next group of the window once all tokens are written."""
        if work.stream.renewal is work and not work.prefill.left:
            work.stream.go_on_renewing()

    def failed(self, work: Renewal, error: Exception) -> None:
        """A renewal that raised begins again without the group that did. One that lacks pages or memory begins again when there is room;
        where a group or question waits for the renewal, that fails."""
        stream = work.stream
        if stream.renewal is not work:
            return
        if not isinstance(error, RequestError):
            stream.give_up_renewal(error if stream.wants_renewal else None)
            return
        self._state.tally.shed["renewal_failed"] += 1
        culprit = stream.fail_renewal(error)
        if culprit is not None:
            stream.skipped["session"] += 1
            log.warning("stream %s: group %d leaves the window, it cannot be written again", stream.name, culprit.group_id)

    def finish(self) -> None:
        """Put windows that are complete in place."""
        for stream in self._state.streams.values():
            if stream.is_renewed:
                stream.finish_renewal()
                self._state.tally.counts["renewals"] += 1

    def _is_mine(self, stream: StreamState) -> bool:
        if self._wanted:
            return stream.wants_renewal
        return not stream.wants_renewal and (stream.renewal is not None or stream.renewal_due())

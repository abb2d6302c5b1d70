"""Renewals: windows that are written anew beside the old ones, in the background.

In: windows that come near a trained limit. Out: the same windows from position zero, put in place between two steps. A renewal begins
early and takes what tokens are left over; when a group or a question has to wait for it, it goes first.
"""

from __future__ import annotations

import logging

from torch import Tensor

from ov2.engine.state import EngineState, Work
from ov2.engine.stream_state import Renewal, StreamState
from ov2.errors import RequestError

log = logging.getLogger(__name__)


class Renewals:
    """A desk (`state.Desk`), for renewals that somebody waits for, or for the others."""

    kind = "renewal"

    def __init__(self, state: EngineState, *, wanted: bool) -> None:
        self._state, self._wanted = state, wanted

    def owners(self) -> list[Work]:
        lines = [line for line in self._state.in_turn() if self._is_mine(line)]
        for line in lines:
            if line.renewal is None:
                line.begin_renewal()
        return [line.renewal for line in lines if line.renewal is not None and line.renewal.passage.left]

    def written(self, owner: Work, logits_W: Tensor | None) -> None:
        """Take up the next group of the window once all tokens are written."""
        assert isinstance(owner, Renewal), "expected a renewal"
        if owner.line.renewal is owner and not owner.passage.left:
            owner.line.go_on_renewing()

    def failed(self, owner: Work, error: Exception) -> None:
        """One that raised begins again without the group that did. One that lacks pages or memory begins again when there is room; where
        somebody waits for it, they are told."""
        assert isinstance(owner, Renewal), "expected a renewal"
        line = owner.line
        if line.renewal is not owner:
            return
        if not isinstance(error, RequestError):
            line.give_up_renewal(error if line.wants_renewal else None)
            return
        self._state.tally.shed["renewal_failed"] += 1
        culprit = line.fail_renewal(error)
        if culprit is not None:
            line.skipped["session"] += 1
            log.warning("stream %s: group %d leaves the window, it cannot be written again", line.name, culprit.group_id)

    def finish(self) -> None:
        """Put windows that are complete in place."""
        for line in self._state.lines.values():
            if line.is_renewed:
                line.finish_renewal()
                self._state.tally.counts["renewals"] += 1

    def _is_mine(self, line: StreamState) -> bool:
        if self._wanted:
            return line.wants_renewal
        return not line.wants_renewal and (line.renewal is not None or line.renewal_due())

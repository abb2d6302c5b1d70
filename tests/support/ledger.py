"""The reference of an engine: who saw whom, taken down as it is written, and one full pass under that mask. No test in here."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ov2.forward import ScheduledTokens
from ov2.kv_sequence import KVSequence
from ov2.model import OV2Model
from ov2.segment import EncodedGroup, Segment


class Ledger:
    """Watches every commit, of whatever context."""

    def __init__(self, model: OV2Model, patch: pytest.MonkeyPatch) -> None:
        self._model = model
        self._seen: dict[int, tuple[Segment, tuple[Segment, ...]]] = {}
        commit = KVSequence.commit

        def watched(context: KVSequence, scheduled: ScheduledTokens) -> None:
            for index, segment in enumerate(scheduled.segments):
                self._seen[id(segment)] = (segment, (*scheduled.before, *scheduled.segments[:index]))
            commit(context, scheduled)

        patch.setattr(KVSequence, "commit", watched)

    @torch.no_grad()
    def logits(self, own: Segment, peek: EncodedGroup | None = None) -> Tensor:
        """Logits [W] after the last token of a segment: one pass over all that it, and what it saw, ever saw."""
        rows = sorted(self._lineage(own).values(), key=lambda row: row[0].first_position)
        index_of = {id(segment): index for index, (segment, _) in enumerate(rows)}
        owner_T = torch.cat([torch.full((segment.num_tokens,), index) for index, (segment, _) in enumerate(rows)])
        positions_T = torch.cat([segment.first_position + torch.arange(segment.num_tokens) for segment, _ in rows])
        sees_SS = torch.eye(len(rows), dtype=torch.bool)
        for index, (_, before) in enumerate(rows):
            sees_SS[index, [index_of[id(segment)] for segment in before]] = True
        ids = torch.tensor([token for segment, _ in rows for token in segment.ids])
        groups = [peek if segment is own else segment.group for segment, _ in rows]
        vision = [group.vision_tokens for group in groups if group is not None]
        x_TD = self._model.embed(ids, torch.cat(vision).clone() if vision else None)
        mask_TT = sees_SS[owner_T][:, owner_T].tril()
        last = int((owner_T == index_of[id(own)]).nonzero()[-1])
        return self._model.head(self._model.language(x_TD, positions_T, mask_TT))[last]

    def _lineage(self, own: Segment) -> dict[int, tuple[Segment, tuple[Segment, ...]]]:
        found: dict[int, tuple[Segment, tuple[Segment, ...]]] = {}
        todo = [own]
        while todo:
            segment = todo.pop()
            if id(segment) not in found:
                found[id(segment)] = self._seen[id(segment)]
                todo += found[id(segment)][1]
        return found

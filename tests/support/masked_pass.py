"""The reference of a session: one full pass over all its tokens, under a mask that remembers who saw whom. No test in here."""

from __future__ import annotations

import torch
from torch import Tensor

from ov2.kv_sequence import KVSequence
from ov2.model import OV2Model
from ov2.segment import Segment
from ov2.session import Session


class MaskedPass:
    """Follows a session from outside: after every change of it, call `follow`."""

    def __init__(self, model: OV2Model, session: Session) -> None:
        self._model, self._session = model, session
        self._renewals = -1
        self.written: list[tuple[Segment, list[Segment]]] = []
        self.follow()

    def follow(self) -> None:
        """Take down the newest segment and what stood before it; after a renewal, all of them anew."""
        with_branch = self._session.branch()
        segments = list(with_branch.segments)
        with_branch.close()
        if self._renewals != self._session.num_renewals:
            self._renewals = self._session.num_renewals
            self.written = [(segment, segments[:index]) for index, segment in enumerate(segments)]
        elif segments[-1] is not self.written[-1][0]:
            self.written.append((segments[-1], segments[:-1]))

    @torch.no_grad()
    def logits(self, branch: KVSequence, vision_VD: Tensor | None) -> Tensor:
        """Logits of a branch's own tokens (its last segment)."""
        own, seen = branch.segments[-1], list(branch.segments[:-1])
        rows = [*self.written, (own, seen)]
        owner_T = torch.cat([torch.full((segment.num_tokens,), index) for index, (segment, _) in enumerate(rows)])
        positions_T = torch.cat([segment.first_position + torch.arange(segment.num_tokens) for segment, _ in rows])
        sees_SS = torch.eye(len(rows), dtype=torch.bool)
        for index, (_, before) in enumerate(rows):
            for other, (segment, _) in enumerate(rows[:index]):
                sees_SS[index, other] = any(segment is one for one in before)
        mask_TT = sees_SS[owner_T][:, owner_T].tril()
        ids = torch.tensor([token for segment, _ in rows for token in segment.ids])
        vision = [segment.group.vision_tokens for segment, _ in rows if segment.group is not None]
        vision += [] if vision_VD is None else [vision_VD]
        x_TD = self._model.embed(ids, torch.cat(vision).clone() if vision else None)
        return self._model.head(self._model.language(x_TD, positions_T, mask_TT))[-own.num_tokens :]

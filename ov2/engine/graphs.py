"""Decoding as a CUDA graph: one launch for a step of all layers instead of hundreds.

In: scheduled tokens, one of each sequence. Out: their hidden states, the same as `ov2.forward.forward` gives, to rounding. Shapes of a
graph are fixed, so a step is padded: to a number of sequences and to a number of pages that are powers of two. Rows that pad write to a
page that nobody reads.

Shape letters: B sequences, padded, L pages of the longest, padded, D width, H query heads, K key and value heads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from ov2_kernels import paged_attention
from torch import Tensor

from ov2.errors import PagesError
from ov2.forward import ScheduledTokens, pages_of, places_of
from ov2.model import OV2Model
from ov2.pages import PagePool

MOST_SEQUENCES = 16
"""Larger steps gain little: their kernels are no longer short."""
MOST_GRAPHS = 24
"""Graphs that are kept; the one used longest ago goes first."""
LEAST_PAGES = 16


class DecodeGraphs:
    """Graphs by size. `capture=False` runs the same padded steps without a graph: what tests on a CPU can prove."""

    def __init__(self, model: OV2Model, pool: PagePool, *, capture: bool = True) -> None:
        self._model, self._pool, self._capture = model, pool, capture
        self._graphs: OrderedDict[tuple[int, int], _Step] = OrderedDict()
        self._spare: int | None = None

    def takes(self, scheduled: Sequence[ScheduledTokens]) -> bool:
        """Whether these are few, of one token each, and share no window (for those that do, cascade attention reads it once)."""
        if not 0 < len(scheduled) <= MOST_SEQUENCES or any(each.num_tokens != 1 for each in scheduled):
            return False
        windows = {tuple(map(id, each.before)) for each in scheduled}
        return len(windows) == len(scheduled) and self._has_spare()

    @torch.inference_mode()
    def run(self, scheduled: Sequence[ScheduledTokens]) -> list[Tensor]:
        """Hidden states [1, D] of each."""
        page_tokens = self._pool.page_tokens
        tables = [pages_of((*each.before, *each.segments), page_tokens) for each in scheduled]
        size = _power_of_two(len(scheduled)), max(LEAST_PAGES, _power_of_two(max(len(pages) for pages, _ in tables)))
        step = self._graphs.pop(size, None) or _Step(self._model, self._pool, *size)
        self._graphs[size] = step
        while len(self._graphs) > MOST_GRAPHS:
            self._graphs.popitem(last=False)
        positions, slots = places_of(scheduled, page_tokens)
        assert self._spare is not None, "expected a spare page"
        step.fill([each.ids[0] for each in scheduled], positions, slots, tables, self._spare, page_tokens)
        hidden_BD = step.replay() if self._capture else step()
        return [hidden_BD[index : index + 1] for index in range(len(scheduled))]

    @property
    def pages(self) -> tuple[int, ...]:
        """Those that it holds."""
        return (self._spare,) if self._spare is not None else ()

    def forget(self) -> None:
        """The pool is reset, and what was captured before is not to be relied upon."""
        self._spare = None
        self._graphs.clear()

    def close(self) -> None:
        """Give the spare page back."""
        if self._spare is not None:
            self._pool.release((self._spare,))
            self._spare = None

    def _has_spare(self) -> bool:
        """A page for rows that pad, taken when it is first needed."""
        if self._spare is None:
            try:
                (self._spare,) = self._pool.take(1)
            except PagesError:
                return False
        return True


class _Step:
    """One size: fixed tensors, and the pass over them."""

    def __init__(self, model: OV2Model, pool: PagePool, num_sequences: int, num_pages: int) -> None:
        device = model.device
        self._model, self._pool = model, pool
        self._ids_B = torch.zeros(num_sequences, dtype=torch.long, device=device)
        self._positions_B, self._slots_B = torch.zeros_like(self._ids_B), torch.zeros_like(self._ids_B)
        self._tables_2BL = torch.zeros(2, num_sequences, num_pages, dtype=torch.int32, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._hidden_BD: Tensor | None = None

    def fill(
        self,
        ids: list[int],
        positions: list[int],
        slots: list[int],
        tables: list[tuple[list[int], list[int]]],
        spare: int,
        page_tokens: int,
    ) -> None:
        """What the next pass reads."""
        num_sequences, num_pages = self._tables_2BL.shape[1:]
        missing = num_sequences - len(ids)
        rows = [*tables, *[([spare], [1])] * missing]
        padded = [[column + [0] * (num_pages - len(column)) for column in row] for row in rows]
        self._tables_2BL.copy_(torch.tensor(padded, dtype=torch.int32).transpose(0, 1))
        for fixed_B, values, filler in (
            (self._ids_B, ids, 0),
            (self._positions_B, positions, 0),
            (self._slots_B, slots, spare * page_tokens),
        ):
            fixed_B.copy_(torch.tensor([*values, *[filler] * missing]))

    def __call__(self) -> Tensor:
        """The pass itself: hidden states [B, D]."""
        pool, starts = self._pool, tuple(range(self._ids_B.shape[0] + 1))

        def attend(layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
            pool.write(layer, self._slots_B, k_TKD, v_TKD)
            k_NZKD, v_NZKD, scales = pool.layer(layer)
            return paged_attention(q_THD, k_NZKD, v_NZKD, starts, self._tables_2BL[0], self._tables_2BL[1], scales=scales)

        x_BD = self._model.model.language_model.embed_tokens(self._ids_B)
        return self._model.run_language(x_BD, self._positions_B, attend)

    def replay(self) -> Tensor:
        """The pass as a graph; captured when it is first asked for. Running it twice beforehand, as capture wants, writes the same numbers
        to the same slots."""
        if self._graph is None:
            self._graph, self._hidden_BD = _captured(self)
        self._graph.replay()
        assert self._hidden_BD is not None, "expected a captured pass"
        return self._hidden_BD.clone()


def _captured(step: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(2):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        hidden_BD = step()
    return graph, hidden_BD


def _power_of_two(count: int) -> int:
    """The next one from `count` on."""
    return 1 << (count - 1).bit_length()

"""Groups, peeks and snapshots are the same whether every picture is decoded or those that are shown, whatever becomes of the packets."""

from __future__ import annotations

from itertools import islice

import pytest
from lossy_runs import rounds, told
from walker_film import film


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("gop", [15, 300])
def test_what_is_told_does_not_depend_on_what_is_decoded(loss: float, gop: int) -> None:
    num_told = 0
    for run in islice(rounds(film(fps=10, seconds=30, gop=gop), seed=gop, loss=loss), 3):
        expected = told(run, 0.0)
        assert told(run, 0.002) == expected
        assert told(run, 1e9) == expected
        num_told += len(expected)
    assert num_told > 10

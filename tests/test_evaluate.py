"""Scores of a checkpoint: which seeds may be asked about, and what an answer is compared with."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.evaluate import Asked, score, seed_range
from trainer.world import Question


@pytest.mark.parametrize("seeds", ["12", "5:3", "a:b", "100:110", "899999:900001"])
def test_seeds_outside_the_test_split_are_refused(seeds: str) -> None:
    with pytest.raises(Exception, match="seed"):
        seed_range(seeds)


def test_scores_compare_with_the_best_constant_answer() -> None:
    def asked(answer: str, said: str) -> Asked:
        question = Question(at_s=5.0, type="count", text="How many people are in view?", answer=answer, about=(5.0,))
        return Asked(900_000, question, said, answer == said, np.zeros((1, 28, 28, 3), np.uint8))

    scores = score([asked("1", "1"), asked("1", "1"), asked("2", "2"), asked("3", "1")])
    assert scores.accuracy == 0.75
    assert scores.by_type["count"].constant_baseline == 0.5
    assert scores.mean_gain == 0.25

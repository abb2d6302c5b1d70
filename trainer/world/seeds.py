"""Which seeds train and which seeds test: disjoint for ever, with a refused range between them."""

from __future__ import annotations

from typing import Literal

from trainer.world.errors import SeedError

TRAIN_SEEDS = range(0, 500_000)
TEST_SEEDS = range(900_000, 1_000_000_000)

Split = Literal["train", "test"]


def split_of(seed: int) -> Split:
    """The split a seed belongs to. Raises SeedError for a seed in neither."""
    if seed in TRAIN_SEEDS:
        return "train"
    if seed in TEST_SEEDS:
        return "test"
    raise SeedError(
        f"seed: expected 0 to {TRAIN_SEEDS.stop - 1} (train) or {TEST_SEEDS.start} and up (test), got {seed}; "
        "the range between is kept empty so that no one trains on a test by mistake"
    )

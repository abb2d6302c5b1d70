"""Margins: their calibration is found again, and their figures mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from small_model import byte_tokenizer

from ov2.engine.yes_no import YesNoScorer
from ov2.model import OV2Model
from trainer.errors import SeedError
from trainer.evaluate.answers import seed_range
from trainer.evaluate.margins import Margin, fit, quality


def drawn(scale: float, bias: float, num: int = 20_000) -> list[Margin]:
    """Margins whose log-odds are scale * margin + bias."""
    rng = np.random.default_rng(0)
    margins = rng.normal(0.0, 2.0, num)
    holds = rng.random(num) < 1 / (1 + np.exp(-(scale * margins + bias)))
    return [Margin(0, "?", float(margin), bool(one)) for margin, one in zip(margins, holds, strict=True)]


def test_the_fit_finds_scale_and_bias_again() -> None:
    found = fit(drawn(0.7, -0.4))
    assert found["scale"] == pytest.approx(0.7, abs=0.03)
    assert found["bias"] == pytest.approx(-0.4, abs=0.05)


def test_figures_of_calibrated_and_of_swapped_margins() -> None:
    good = drawn(1.0, 0.0)
    told = quality(good)
    assert told["calibration_error"] < 0.02
    assert 0.8 < told["auc"] < 0.95
    swapped = quality([Margin(0, "?", -item.margin, item.holds) for item in good])
    assert swapped["auc"] == pytest.approx(1 - told["auc"], abs=1e-9)
    assert swapped["accuracy"] == pytest.approx(1 - told["accuracy"], abs=1e-9)
    assert swapped["calibration_error"] > 0.3


def test_a_calibration_moves_margins_and_keeps_their_order() -> None:
    import torch

    text = byte_tokenizer()
    logits = torch.randn(5, 512)
    raw, moved = (
        [YesNoScorer(text, calibration).margin(row) for row in logits] for calibration in ({}, {"scale": 2.0, "bias": 1.0})
    )
    assert moved == pytest.approx([2 * margin + 1 for margin in raw])


def test_the_bundled_checkpoint_is_calibrated() -> None:
    assert set(OV2Model.from_pretrained("ov2-nano").stream_settings["judge"]) == {"scale", "bias"}


def test_a_calibration_never_sees_a_test_seed() -> None:
    assert list(seed_range("3:5", "train")) == [3, 4]
    with pytest.raises(SeedError, match="train split"):
        seed_range("900000:900002", "train")

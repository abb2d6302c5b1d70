"""Quantised weights: near the originals, and refused clearly."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from repository import GOLDEN

from ov2.errors import CheckpointError
from ov2.model import OV2Model

DATA = GOLDEN / "ov2_tiny"


@pytest.fixture(scope="module")
def exact() -> torch.Tensor:
    return logits(OV2Model.from_pretrained("ov2-nano"))


@torch.inference_mode()
def logits(model: OV2Model) -> torch.Tensor:
    return model.logits(torch.arange(120))


@pytest.mark.parametrize(("kind", "most"), [("int8", 0.02), ("int4", 0.25)])
def test_quantised_weights_stay_near(kind: Any, most: float, exact: torch.Tensor) -> None:
    model = OV2Model.from_pretrained("ov2-nano", weights=kind)
    off = (logits(model) - exact).abs().max()
    assert 0 < off < most * exact.abs().max()
    layer = model.model.language_model.layers[0].mlp.up_proj.weight
    assert type(layer) is not torch.nn.Parameter
    assert type(model.model.visual.merger.mlp[0].weight) is torch.nn.Parameter


def test_a_wrong_kind_is_refused() -> None:
    with pytest.raises(CheckpointError, match="expected model, int8, int4, got int3"):
        OV2Model.from_pretrained("ov2-nano", weights="int3")  # type: ignore[arg-type]


def test_without_torchao_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(CheckpointError, match=r"install ov2-live\[quant\]"):
        OV2Model.from_pretrained("ov2-nano", weights="int8")

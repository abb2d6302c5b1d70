"""The layers that training runs: those of the served model, weight by weight, whatever the precision."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from ov2.attention import attend_to
from ov2.model import OV2Model
from trainer.train.layers import Precision, has_bfloat16, precision_of, run_layers


@pytest.fixture(scope="module")
def model() -> OV2Model:
    torch.set_num_threads(1)
    return OV2Model.from_pretrained("ov2-nano")


def inputs(model: OV2Model) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    ids = torch.randint(0, 400, (40,))
    return model.embed(ids).detach().requires_grad_(), torch.arange(3, 43)


def test_hidden_states_and_gradients_equal_those_of_the_served_model(model: OV2Model) -> None:
    found = []
    for run in (lambda *given: run_layers(model, *given, Precision()), model.run_language):
        x, positions = inputs(model)
        model.zero_grad()
        hidden = run(x, positions, attend_to(None))
        hidden.square().sum().backward()
        layer = model.model.language_model.layers[2]
        found.append(
            (hidden.detach(), x.grad, layer.self_attn.k_proj.weight.grad.clone(), layer.mlp.up_proj.weight.grad.clone())
        )
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=2e-4)


def test_bfloat16_is_near_and_keeps_the_residual_stream(model: OV2Model) -> None:
    x, positions = inputs(model)
    with torch.no_grad():
        exact = run_layers(model, x, positions, attend_to(None), Precision())
        half = run_layers(model, x, positions, attend_to(None), Precision(torch.bfloat16))
    assert half.dtype == torch.float32
    error = float((half - exact).norm() / exact.norm())
    assert 0 < error < 0.03


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")
def test_compiled_layers_tell_the_same(model: OV2Model) -> None:
    x, positions = inputs(model)
    with torch.no_grad():
        plain = run_layers(model, x, positions, attend_to(None), Precision())
        compiled = run_layers(model, x, positions, attend_to(None), Precision(is_compiled=True))
    assert torch.allclose(compiled, plain, atol=2e-4)


def test_a_precision_that_is_named_is_taken_and_auto_asks_the_machine() -> None:
    device = torch.device("cpu")
    assert precision_of("float32", device, is_compiled=False) == Precision(torch.float32)
    assert precision_of("bfloat16", device, is_compiled=False) == Precision(torch.bfloat16)
    expected = torch.bfloat16 if has_bfloat16(device) else torch.float32
    assert precision_of("auto", device).dtype == expected
    flags = Path("/proc/cpuinfo").read_text()
    assert has_bfloat16(device) == ("amx_bf16" in flags or "avx512_bf16" in flags)

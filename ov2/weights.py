"""Weights of the language model in fewer bits, for small GPUs: weight-only, so activations and the vision tower stay as they are.

In: a loaded model. Out: the same model, its linear layers quantised by torchao (the extra `quant`). What it costs in answers is measured
on ov2-nano: docs/engine.md.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from torch import nn

from ov2.errors import CheckpointError

WeightType = Literal["model", "int8", "int4"]
GROUP = 32
"""Neighbouring weights that share a scale in int4."""


def quantise_weights(model: nn.Module, kind: WeightType, device_type: str) -> None:
    """Quantise the linear layers of the language model in place; `model` leaves them alone. Raises `CheckpointError` for another kind, and
    where torchao is missing."""
    if kind not in get_args(WeightType):
        raise CheckpointError(f"weights: expected {', '.join(get_args(WeightType))}, got {kind}")
    if kind == "model":
        return
    try:
        from torchao import quantization
    except ImportError:
        raise CheckpointError(
            f"weights {kind}: expected torchao, found none; install ov2-live[quant], or set weights to model"
        ) from None
    quantization.quantize_(model, _config(quantization, kind, device_type), filter_fn=_is_linear)


def _config(quantization: Any, kind: WeightType, device_type: str) -> Any:
    """int4 has a kernel of its own on CUDA; elsewhere the same numbers are kept a byte each."""
    if kind == "int8":
        return quantization.Int8WeightOnlyConfig()
    if device_type == "cuda":
        return quantization.Int4WeightOnlyConfig(group_size=GROUP)
    import torch
    from torchao.quantization.granularity import PerGroup

    return quantization.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(GROUP))  # type: ignore[attr-defined]


def _is_linear(module: nn.Module, name: str) -> bool:
    return isinstance(module, nn.Linear) and name.startswith("layers.")

"""Who runs an operation: the Triton kernel, or the plain PyTorch truth.

In: tensors. Out: yes or no. Kernels have no backward pass, so training runs the truth.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor


def runs_kernel(*tensors: Tensor) -> bool:
    """On CUDA tensors, where triton is installed and nothing asks for gradients."""
    needs_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return tensors[0].is_cuda and not needs_gradient and _has_triton()


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    return find_spec("triton") is not None

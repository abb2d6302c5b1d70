"""A small model that raises when it is told to: what a bug, or a device that fails, looks like to the engine. No test in here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from small_model import small_config
from torch import Tensor

from ov2.config import OV2Config
from ov2.model import OV2Model

ILLEGAL_ADDRESS = 700
"""cudaErrorIllegalAddress: the CUDA context cannot be used any more."""
WHITE = 255


class FailingModel(OV2Model):
    """Raises `trouble` in a pass that holds the tokens `bad_ids` in a row, and a `ValueError` in the encoder for white canvases.

    `faults`: raised by the next passes of the language model, one each; where there are `fault_ids`,
    by those that hold them in a row. `nan_ids`: tokens that are no numbers to it."""

    def __init__(self, config: OV2Config) -> None:
        super().__init__(config)
        self.bad_ids: Sequence[int] = ()
        self.trouble: Callable[[], Exception] = lambda: ValueError("these tokens")
        self.faults: deque[Exception] = deque()
        self.fault_ids: Sequence[int] = ()
        self.nan_ids: Sequence[int] = ()
        self._ids: list[int] = []

    def vision_tokens(self, pixel_values: Tensor, image_grid_thw: Tensor, patch_positions: Tensor) -> Tensor:
        patches = torch.split(pixel_values, image_grid_thw.prod(-1).tolist())
        if any(bool((one == one[0]).all()) for one in patches):
            raise ValueError("a white canvas")
        return super().vision_tokens(pixel_values, image_grid_thw, patch_positions)

    def embed(self, input_ids: Tensor, vision_tokens: Tensor | None = None) -> Tensor:
        self._ids = input_ids.tolist()
        x_TD = super().embed(input_ids, vision_tokens)
        x_TD[torch.isin(input_ids, torch.tensor(self.nan_ids, dtype=input_ids.dtype))] = torch.nan
        return x_TD

    def run_language(self, x_TD: Tensor, positions_T: Tensor, attend: Any) -> Tensor:
        """It raises in the middle, when the first layer is written."""

        def attend_some(layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
            if layer == 1 and self.faults and (not self.fault_ids or _holds(self._ids, self.fault_ids)):
                raise self.faults.popleft()
            if layer == 1 and _holds(self._ids, self.bad_ids):
                raise self.trouble()
            seen: Tensor = attend(layer, q_THD, k_TKD, v_TKD)
            return seen

        return super().run_language(x_TD, positions_T, attend_some)


def failing_model() -> FailingModel:
    """The weights of `small_model()`."""
    torch.manual_seed(0)
    model = FailingModel(small_config())
    model.eval()
    return model


def failing(model: OV2Model) -> FailingModel:
    """The same weights and settings as a loaded model's."""
    made = FailingModel(model.config)
    made.load_state_dict(model.state_dict())
    made.folder, made.stream_settings, made.normalisation = model.folder, model.stream_settings, model.normalisation
    made.eval()
    return made


def device_fault() -> Exception:
    """What PyTorch raises once a kernel has read beyond its memory, and at every call after it."""
    error = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    error.error_code = ILLEGAL_ADDRESS  # type: ignore[attr-defined]
    return error


def _holds(ids: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a row of tokens occurs."""
    size = len(wanted)
    return bool(size) and any(list(ids[end - size : end]) == list(wanted) for end in range(size, len(ids) + 1))

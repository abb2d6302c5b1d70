"""Limits of an engine.

In: what the user sets. Out: the number of pages and tokens of a step, from the device where unset.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch

from ov2.config import OV2Config
from ov2.errors import CheckpointError, SessionError
from ov2.model import OV2Model
from ov2.pages import QUANTISED
from ov2.session_settings import SessionSettings

KVType = Literal["model", "int8", "fp8"]
STEP_TOKENS = {"cpu": 256, "cuda": 4096}
"""A step this long holds up a running answer by some tens of milliseconds."""
LEAST_STEP_TOKENS = 16
SCALE_BYTES = 4
"""Of a quantised pool, per token and head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What is None follows from the device.

    - `session`: limits of every stream; `open` may give others.
    - `max_streams`: streams that the pages are for, where memory does not decide. `num_pages`: pages of the device's pool; default on
      CUDA as many as `memory_share` of the free memory holds, else enough for `max_streams`.
    - `kv_dtype`: `model`, or `int8` or `fp8`, which hold twice as many pages and are a little less exact.
    - `step_tokens`: tokens of all streams in one step; default 256 on a CPU, 4096 on CUDA. A decoding answer waits for one step.
    - `max_answers`: answers that are written at once. `max_questions`: those that wait, too; more are refused.
    - `cuda_graphs`: decode by CUDA graphs, on CUDA.
    - `max_waiting_groups`: groups of a stream that wait to be appended; beyond, the oldest is skipped and counted.
    """

    session: SessionSettings = field(default_factory=SessionSettings)
    max_streams: int = 8
    num_pages: int | None = None
    memory_share: float = 0.8
    kv_dtype: KVType = "model"
    step_tokens: int | None = None
    max_answers: int = 32
    max_questions: int = 64
    max_waiting_groups: int = 16
    cuda_graphs: bool = True

    def __post_init__(self) -> None:
        for name in ("max_streams", "max_answers", "max_questions", "max_waiting_groups"):
            if getattr(self, name) < 1:
                raise SessionError(f"engine: expected {name} of at least 1, got {getattr(self, name)}")
        if self.step_tokens is not None and self.step_tokens < LEAST_STEP_TOKENS:
            raise SessionError(f"engine: expected step_tokens of at least {LEAST_STEP_TOKENS}, got {self.step_tokens}")
        if self.kv_dtype not in ("model", *QUANTISED):
            raise SessionError(f"engine: expected kv_dtype model, int8 or fp8, got {self.kv_dtype}")
        if not 0.0 < self.memory_share < 1.0:
            raise SessionError(f"engine: expected memory_share between 0 and 1, got {self.memory_share}")

    def pool_dtype(self, model: OV2Model) -> torch.dtype:
        """Type of keys and values."""
        return QUANTISED.get(self.kv_dtype, model.dtype)

    def tokens_of_a_step(self, device: torch.device) -> int:
        return STEP_TOKENS.get(device.type, STEP_TOKENS["cpu"]) if self.step_tokens is None else self.step_tokens

    def pages(self, model: OV2Model) -> int:
        """Pages of the pool."""
        if self.num_pages is not None:
            return self.num_pages
        limits = self.session.resolve(max_positions=model.max_positions, max_timestamp_s=model.max_timestamp_s)
        if model.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(model.device)
            return max(1, int(free * self.memory_share) // self.page_bytes(model))
        return self.max_streams * limits.num_pages

    def page_bytes(self, model: OV2Model) -> int:
        """Memory of one page in all layers."""
        text, dtype = model.config.text, self.pool_dtype(model)
        scale = SCALE_BYTES if dtype in QUANTISED.values() else 0
        per_token = 2 * text.num_key_value_heads * (text.head_dim * dtype.itemsize + scale)
        return per_token * self.session.page_tokens * text.num_hidden_layers


def require_kernels(config: OV2Config, device: torch.device) -> None:
    """Raise `CheckpointError` for a model whose heads no kernel of the device can attend with; a CPU takes any."""
    if device.type != "cuda":
        return
    from ov2_kernels.triton.configs import HEAD_SIZES

    for part, size in (("vision_config", config.vision.head_size), ("text_config", config.text.head_dim)):
        if size not in HEAD_SIZES:
            raise CheckpointError(
                f"{part}: expected a head size of {', '.join(map(str, HEAD_SIZES))} for the kernels, got {size}; "
                f"run this checkpoint on a CPU (device: cpu)"
            )

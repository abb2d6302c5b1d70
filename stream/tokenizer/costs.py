"""What a packet costs: the effort that its encoder put into it.

In: packet sizes, mean quantisers, keyframe flags. Out: cost units, which only compare with each other.
"""

from __future__ import annotations

import math

import numpy as np

from stream.errors import SettingsError

COSTS = ("bytes", "log", "complexity")
QP_STEP = 6.0
"""The quantiser step doubles every 6 QP (H.264 8.5.9)."""
QP_REFERENCE = 26.0
"""QP at which `complexity` equals bytes: 26 is where pic_init_qp_minus26 counts from (H.264 7.4.2.2)."""


def size_cost(size_bytes: np.ndarray, cost: str) -> np.ndarray:
    """Costs of P and B packets from sizes alone. Raises `SettingsError` unless `cost` is `bytes` or `log`."""
    if cost == "bytes":
        return size_bytes
    if cost == "log":
        logs: np.ndarray = np.log1p(size_bytes)
        return logs
    raise SettingsError(f"cost: expected bytes or log (a recording's sizes say no more), got {cost}")


KEY_MEMORY = 8
"""Keyframes over which the running keyframe size is averaged."""
QP_MEMORY = 64
"""Frames over which the quantiser is averaged, for frames that do not tell theirs."""
ALL_KEYS = 8
"""Keyframes in a row after which a stream is taken to have nothing else (MJPEG, a camera set to intra pictures alone)."""


class FrameCosts:
    """Costs of the frames of one stream, in display order.

    P and B frames cost by `cost`: `bytes` = s (the paper's text), `log` = ln(1 + s) (the published front-end), `complexity` =
    s * 2^((QP - 26) / 6) (a camera at constant bit rate hides its effort in the quantiser). Keyframes cost nothing; one larger
    than `scene_cut_ratio` times the running keyframe size is a scene cut and counts with its excess (ratio 0: never).
    Where every frame is a keyframe, each costs by how far its size is from the one before: what changed, not what is there. As published,
    with `bytes` or `log` and ratio 0, it costs nothing there either.
    """

    def __init__(self, cost: str, scene_cut_ratio: float) -> None:
        assert cost in COSTS, f"expected a cost of {COSTS}, got {cost}"
        self._cost = cost
        self._scene_cut_ratio = scene_cut_ratio
        self._counts_steps = scene_cut_ratio > 0 or cost == "complexity"
        self._key_bytes = 0.0
        self._num_keys = 0
        self._keys_in_a_row = 0
        self._previous_key_bytes = 0
        self._qp = QP_REFERENCE
        self._num_qps = 0

    @property
    def needs_qp(self) -> bool:
        """Whether `of` reads the quantiser."""
        return self._cost == "complexity"

    def of(self, size_bytes: int, *, is_key: bool, mean_qp: float = math.nan) -> float:
        """Cost of the next frame."""
        if not is_key:
            self._keys_in_a_row = 0
            return self._by_size(size_bytes, mean_qp)
        self._keys_in_a_row += 1
        step, self._previous_key_bytes = abs(size_bytes - self._previous_key_bytes), size_bytes
        excess = self._excess(size_bytes)
        counted = step if self._counts_steps and self._keys_in_a_row > ALL_KEYS else excess
        return self._by_size(counted, mean_qp) if counted else 0.0

    def _excess(self, size_bytes: int) -> float:
        """Bytes over the running keyframe size if this is a scene cut, else 0."""
        usual = self._key_bytes if self._num_keys else float(size_bytes)
        self._num_keys += 1
        self._key_bytes = usual + (size_bytes - usual) / min(self._num_keys, KEY_MEMORY)
        is_cut = self._scene_cut_ratio > 0 and size_bytes > self._scene_cut_ratio * usual
        return size_bytes - usual if is_cut else 0.0

    def _by_size(self, size_bytes: float, mean_qp: float) -> float:
        if self._cost == "bytes":
            return float(size_bytes)
        if self._cost == "log":
            return math.log1p(size_bytes)
        if not math.isnan(mean_qp):
            self._num_qps += 1
            self._qp += (mean_qp - self._qp) / min(self._num_qps, QP_MEMORY)
        qp = self._qp if math.isnan(mean_qp) else mean_qp
        return float(size_bytes * 2.0 ** ((qp - QP_REFERENCE) / QP_STEP))

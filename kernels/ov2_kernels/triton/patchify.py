"""Patchify: one program makes one patch, from the three planes straight to normalised values.

In: planes uint8 with their pitches, taps, colour matrix, blocks. Out: patches [4 * B, 3 * 14 * 14].

Sums are whole numbers and the colour matrix runs in one fixed order, unfused, so a pixel is the same byte as on the CPU.

Shape letters: B blocks, X values of a patch (channel, row, column).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from ov2_kernels.triton.configs import Config
from ov2_kernels.triton.launch import launch

if TYPE_CHECKING:
    from ov2_kernels.planes import PictureTaps, Planes

_PATCH = Config(1, 1, 4, 1)


@triton.jit
def _weighted(plane, pitch, row_start, row_weights, col_start, col_weights, row_I, col_I, num_rows, num_cols, is_pixel_I):
    """Sums of samples under row and column taps, in units of 1/65536, float32 (exact: they fit 24 bits)."""
    top_I = tl.load(row_start + row_I, mask=is_pixel_I, other=0).to(tl.int64)
    left_I = tl.load(col_start + col_I, mask=is_pixel_I, other=0).to(tl.int64)
    total_I = tl.zeros(row_I.shape, tl.int32)
    for row in range(num_rows):
        line_I = tl.zeros(row_I.shape, tl.int32)
        for col in range(num_cols):
            weight_I = tl.load(col_weights + col_I * num_cols + col, mask=is_pixel_I, other=0)
            sample_I = tl.load(plane + (top_I + row) * pitch + left_I + col, mask=is_pixel_I, other=0)
            line_I += weight_I * sample_I.to(tl.int32)
        total_I += tl.load(row_weights + row_I * num_rows + row, mask=is_pixel_I, other=0) * line_I
    return total_I.to(tl.float32)


@triton.jit
def _normalised(level_I, mean, std):
    """A level, rounding included, clamped and cut to a byte, then to the model's range."""
    byte_I = tl.minimum(tl.maximum(level_I, 0.0), 255.0).to(tl.int32).to(tl.float32)
    return tl.math.div_rn(tl.math.div_rn(byte_I, 255.0) - mean, std)


@triton.jit(
    do_not_specialize=["luma_pitch", "blue_pitch", "red_pitch", "num_rows", "num_cols", "num_half_rows", "num_half_cols"]
)
def _make_patches(
    luma,
    blue,
    red,
    luma_pitch,
    blue_pitch,
    red_pitch,
    row_start,
    row_weights,
    col_start,
    col_weights,
    half_row_start,
    half_row_weights,
    half_col_start,
    half_col_weights,
    num_rows,
    num_cols,
    num_half_rows,
    num_half_cols,
    matrix,
    blocks,
    mean,
    std,
    out,
    SIDE: tl.constexpr,
    LANES: tl.constexpr,
):
    patch = tl.program_id(0)
    pixel_I = tl.arange(0, LANES)
    is_pixel_I = pixel_I < SIDE * SIDE
    block = patch // 4
    row_I = (tl.load(blocks + block * 2) * 2 + patch % 4 // 2) * SIDE + pixel_I // SIDE
    col_I = (tl.load(blocks + block * 2 + 1) * 2 + patch % 2) * SIDE + pixel_I % SIDE
    y_I = _weighted(
        luma, luma_pitch, row_start, row_weights, col_start, col_weights, row_I, col_I, num_rows, num_cols, is_pixel_I
    )
    half_row_I, half_col_I = row_I // 2, col_I // 2
    cb_I = _weighted(
        blue, blue_pitch, half_row_start, half_row_weights, half_col_start, half_col_weights,
        half_row_I, half_col_I, num_half_rows, num_half_cols, is_pixel_I,
    )  # fmt: skip
    cr_I = _weighted(
        red, red_pitch, half_row_start, half_row_weights, half_col_start, half_col_weights,
        half_row_I, half_col_I, num_half_rows, num_half_cols, is_pixel_I,
    )  # fmt: skip
    gain, red_cr, green_cb, green_cr = tl.load(matrix), tl.load(matrix + 1), tl.load(matrix + 2), tl.load(matrix + 3)
    blue_cb, offset, grey = tl.load(matrix + 4), tl.load(matrix + 5), tl.load(matrix + 6)
    y_I = gain * y_I + offset
    u_I, v_I = cb_I - grey, cr_I - grey
    to = out + patch.to(tl.int64) * (3 * SIDE * SIDE) + pixel_I
    red_I = _normalised(y_I + red_cr * v_I, tl.load(mean), tl.load(std))
    green_I = _normalised(y_I + (green_cb * u_I + green_cr * v_I), tl.load(mean + 1), tl.load(std + 1))
    blue_I = _normalised(y_I + blue_cb * u_I, tl.load(mean + 2), tl.load(std + 2))
    tl.store(to, red_I.to(out.dtype.element_ty), mask=is_pixel_I)
    tl.store(to + SIDE * SIDE, green_I.to(out.dtype.element_ty), mask=is_pixel_I)
    tl.store(to + 2 * SIDE * SIDE, blue_I.to(out.dtype.element_ty), mask=is_pixel_I)


def patchify(
    planes: Planes,
    taps: PictureTaps,
    matrix_7: Tensor,
    blocks_B2: Tensor,
    mean_3: Tensor,
    std_3: Tensor,
    dtype: torch.dtype,
    *,
    out_PX: Tensor | None = None,
) -> Tensor:
    """The kernel behind `ov2_kernels.patchify`. `out_PX`: where to write, if not to a tensor of its own."""
    from ov2_kernels.planes import BLOCK_PATCHES, PATCH_PX, PATCH_VALUES

    num_patches = BLOCK_PATCHES * blocks_B2.shape[0]
    if out_PX is None:
        out_PX = torch.empty(num_patches, PATCH_VALUES, dtype=dtype, device=planes[0].device)
    if not num_patches:
        return out_PX
    launch(
        _make_patches,
        (num_patches,),
        out_PX,
        *planes,
        *(plane.stride(0) for plane in planes),
        *(table.contiguous() for table in taps),
        *(weights.shape[1] for weights in taps[1::2]),
        matrix_7,
        blocks_B2.contiguous(),
        mean_3,
        std_3,
        out_PX,
        SIDE=PATCH_PX,
        LANES=triton.next_power_of_2(PATCH_PX * PATCH_PX),
        config=_PATCH,
        enable_fp_fusion=False,
    )
    return out_PX

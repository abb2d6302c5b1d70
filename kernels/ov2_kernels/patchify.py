"""Chosen blocks of a YUV 4:2:0 picture as the patches that the model reads, in one pass.

In: three planes, taps of the area-weighted resize to canvas size, the colour matrix, blocks. Out: normalised patches in block layout.
A pixel is the same byte as the stream's resampler makes: rows first, then columns, weights in 1/256, whole numbers; then the matrix in
float32, in its fixed order, clamped and cut to a byte.

Shape letters: H and W sides of a plane, R and C output rows and columns, B blocks, P patches
(4 * B), X values of a patch (channel, row, column).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ov2_kernels.dispatch import runs_kernel
from ov2_kernels.planes import PATCH_PX, PATCH_VALUES, PictureTaps, Planes

BLOCK_PX = 28
CHANNEL_MAX = 255.0


def patchify(
    planes: Planes,
    taps: PictureTaps,
    matrix_7: Tensor,
    blocks_B2: Tensor,
    mean_3: Tensor,
    std_3: Tensor,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Patches [4 * B, 3 * 14 * 14] of `dtype`: per block, its four patches in reading order.

    - `matrix_7` float32: luma gain, Cr to red, Cb to green, Cr to green, Cb to blue, what is added to luma, zero of chroma; for samples
      in units of 1/65536.
    - `blocks_B2`: (row, column) of each block of 28x28 pixels, inside the output.
    - `mean_3`, `std_3` float32, of channels between 0 and 1.

    All tensors are on one device.
    """
    if runs_kernel(planes[0]):
        from ov2_kernels.triton import patchify as kernel

        return kernel.patchify(planes, taps, matrix_7, blocks_B2, mean_3, std_3, dtype)
    return patchify_truth(planes, taps, matrix_7, blocks_B2, mean_3, std_3, dtype)


def patchify_truth(
    planes: Planes,
    taps: PictureTaps,
    matrix_7: Tensor,
    blocks_B2: Tensor,
    mean_3: Tensor,
    std_3: Tensor,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The plain truth: the rows of blocks that are asked for are made whole, and blocks picked from them."""
    if not blocks_B2.shape[0]:
        return torch.empty(0, PATCH_VALUES, dtype=dtype, device=planes[0].device)
    block_rows, strip_B = torch.unique(blocks_B2[:, 0].long(), return_inverse=True)
    rows_R = (block_rows[:, None] * BLOCK_PX + torch.arange(BLOCK_PX, device=block_rows.device)).flatten()
    bytes_RC3 = _pixels(planes, taps, matrix_7, rows_R)
    split = bytes_RC3.reshape(len(block_rows), BLOCK_PX, -1, BLOCK_PX, 3)
    bytes_BHW3 = split[strip_B, :, blocks_B2[:, 1].long()]
    normal_BHW3 = (bytes_BHW3.float().div_(CHANNEL_MAX) - mean_3) / std_3
    tiles = normal_BHW3.view(-1, 2, PATCH_PX, 2, PATCH_PX, 3)
    return tiles.permute(0, 1, 3, 5, 2, 4).reshape(-1, PATCH_VALUES).to(dtype)


def _pixels(planes: Planes, taps: PictureTaps, matrix_7: Tensor, rows_R: Tensor) -> Tensor:
    """Output rows (pairs of them, as chroma has it) as uint8 RGB [R, C, 3], C a multiple of 28."""
    num_cols = taps.col_start.shape[0] // BLOCK_PX * BLOCK_PX
    gain, red_cr, green_cb, green_cr, blue_cb, offset, grey = matrix_7
    y_RC = gain * _resampled(planes[0], *taps[:4], rows_R)[:, :num_cols] + offset
    chroma = (_resampled(plane, *taps[4:], rows_R[::2] // 2)[:, : num_cols // 2] - grey for plane in planes[1:])
    cb_RC, cr_RC = (half.repeat_interleave(2, 0).repeat_interleave(2, 1) for half in chroma)
    levels = (y_RC + red_cr * cr_RC, y_RC + (green_cb * cb_RC + green_cr * cr_RC), y_RC + blue_cb * cb_RC)
    return torch.stack(levels, -1).clamp_(0.0, CHANNEL_MAX).to(torch.uint8)


def _resampled(
    plane_HW: Tensor, row_start: Tensor, row_weights: Tensor, col_start: Tensor, col_weights: Tensor, rows_R: Tensor
) -> Tensor:
    """Rows of one plane at output width, in units of 1/65536, float32 (exact: they fit 24 bits)."""
    lines_RW = torch.zeros(rows_R.shape[0], plane_HW.shape[1], dtype=torch.int32, device=plane_HW.device)
    for tap in range(row_weights.shape[1]):
        lines_RW += row_weights[rows_R, tap, None] * plane_HW.index_select(0, row_start[rows_R] + tap).int()
    total_RC = lines_RW.new_zeros(rows_R.shape[0], col_start.shape[0])
    for tap in range(col_weights.shape[1]):
        total_RC += col_weights[:, tap] * lines_RW.index_select(1, col_start + tap)
    return total_RC.float()

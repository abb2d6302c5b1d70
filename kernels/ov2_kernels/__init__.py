"""Attention over groups, over pages and over a shared prefix, and pictures to patches. Each operation has a plain PyTorch truth, which is
also the CPU path, and a Triton kernel for CUDA tensors, imported when it first runs."""

from ov2_kernels.cascade_attention import cascade_attention
from ov2_kernels.gather import Scales, page_slots
from ov2_kernels.group_attention import group_attention, rotate_interleaved
from ov2_kernels.paged_attention import paged_attention
from ov2_kernels.patchify import patchify
from ov2_kernels.planes import PictureTaps
from ov2_kernels.quantise import quantise_kv

__all__ = [
    "PictureTaps",
    "Scales",
    "cascade_attention",
    "group_attention",
    "page_slots",
    "paged_attention",
    "patchify",
    "quantise_kv",
    "rotate_interleaved",
]

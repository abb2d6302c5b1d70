"""Attention over groups and over pages. Each operation has a plain PyTorch truth, which is also the CPU path."""

from ov2_kernels.group_attention import group_attention, rotate_interleaved
from ov2_kernels.paged_attention import page_slots, paged_attention

__all__ = ["group_attention", "page_slots", "paged_attention", "rotate_interleaved"]

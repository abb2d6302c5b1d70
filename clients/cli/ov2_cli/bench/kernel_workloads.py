"""What `ov2 bench kernels` runs: each of our operations at a model's sizes, and what else can do the same work.

In: a device. Out: workloads. On a CPU the sizes are ov2-nano's, on CUDA those of the released 8B model. Alternatives get their inputs as
they like them best, made beforehand: a contiguous cache, a mask, a compiled function.

Shape letters: P patches, T new tokens, S tokens of the cache, H query heads, K key and value heads, D head size, B sequences, L pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Run = Callable[[], object]
PAGE_TOKENS = 64
NUM_BRANCHES, BRANCH_TOKENS = 32, 64
SOURCE_SIZE, CANVAS_SIZE = (1280, 720), (504, 280)
"""Width and height, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Shapes of one model. `groups`: patches of each attention group of the encoder; `num_new`: tokens of an append."""

    groups: tuple[int, ...]
    vision_heads: int
    heads: int
    kv_heads: int
    head_size: int
    window: int
    num_new: int
    dtype: str


NANO = Sizes(
    groups=(4 * 720, 720), vision_heads=2, heads=4, kv_heads=2, head_size=64, window=4096, num_new=256, dtype="float32"
)
"""The window and heads of ov2-nano, and five canvases of 720 patches."""
RELEASED = Sizes(
    groups=(4 * 720,) * 4, vision_heads=16, heads=32, kv_heads=8, head_size=128, window=16_384, num_new=720, dtype="bfloat16"
)
VISION_HEAD_SIZE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One operation. `others`: what else does it, or why that is not available. `num_bytes`: what must at least be read and written;
    `num_flops`: multiplications and additions of visible pairs, 0 where there are none to speak of."""

    name: str
    ours: Run
    others: Mapping[str, Run | str]
    num_bytes: int
    num_flops: int = 0


def workloads(device: torch.device) -> list[Workload]:
    """All operations on one device."""
    sizes = RELEASED if device.type == "cuda" else NANO
    paged = [_paged(device, sizes, num_new) for num_new in (1, sizes.num_new)]
    return [_group(device, sizes), *paged, _cascade(device, sizes), _patchify(device)]


def _group(device: torch.device, sizes: Sizes) -> Workload:
    import torch
    from ov2_kernels import group_attention, rotate_interleaved
    from torch.nn.functional import scaled_dot_product_attention

    dtype, num_patches, heads = getattr(torch, sizes.dtype), sum(sizes.groups), sizes.vision_heads
    q, k, v = torch.randn(num_patches, 3, heads, VISION_HEAD_SIZE, device=device, dtype=dtype).unbind(1)
    angles = torch.randn(num_patches, VISION_HEAD_SIZE, device=device)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    owner = torch.repeat_interleave(torch.arange(len(sizes.groups)), torch.tensor(sizes.groups)).to(device)
    mask = owner[:, None] == owner

    def turned() -> tuple[Tensor, Tensor, Tensor]:
        turned_q, turned_k = (rotate_interleaved(x, cos, sin).transpose(0, 1)[None] for x in (q, k))
        return turned_q, turned_k, v.transpose(0, 1)[None]

    def masked() -> Tensor:
        turned_q, turned_k, heads_v = turned()
        return scaled_dot_product_attention(turned_q, turned_k, heads_v, attn_mask=mask)

    flex = _flex(device, num_patches, num_patches, lambda _b, _h, i, j: owner[i] == owner[j])
    return Workload(
        name="group_attention",
        ours=lambda: group_attention(q, k, v, cos, sin, sizes.groups),
        others={
            "SDPA, block mask": masked,
            "FlexAttention": lambda: flex(*turned()),
            "flash-attn": _flash_groups(turned, sizes.groups, device),
        },
        num_bytes=4 * q.numel() * q.itemsize,
        num_flops=sum(4 * heads * VISION_HEAD_SIZE * length**2 for length in sizes.groups),
    )


def _flash_groups(
    turned: Callable[[], tuple[Tensor, Tensor, Tensor]], groups: tuple[int, ...], device: torch.device
) -> Run | str:
    import torch

    if isinstance(flash := _flash_attn(device), str):
        return flash
    starts = torch.tensor([0, *groups]).cumsum(0).int().to(device)
    longest = max(groups)

    def run() -> object:
        q, k, v = (x[0].transpose(0, 1) for x in turned())
        return flash.flash_attn_varlen_func(q, k, v, starts, starts, longest, longest)

    return run


def _paged(device: torch.device, sizes: Sizes, num_new: int) -> Workload:
    import torch
    from ov2_kernels import paged_attention
    from torch.nn.functional import scaled_dot_product_attention

    dtype = getattr(torch, sizes.dtype)
    q = torch.randn(num_new, sizes.heads, sizes.head_size, device=device, dtype=dtype)
    num_pages = sizes.window // PAGE_TOKENS
    k, v = torch.randn(
        2, num_pages, PAGE_TOKENS, sizes.kv_heads, sizes.head_size, device=device, dtype=dtype
    )  # fmt: skip
    pages = torch.randperm(num_pages).int().to(device)[None]
    valid = torch.full_like(pages, PAGE_TOKENS)
    whole_k, whole_v = (pool[pages[0].long()].flatten(0, 1).transpose(0, 1)[None].contiguous() for pool in (k, v))
    whole_q = q.transpose(0, 1)[None].contiguous()
    older = sizes.window - num_new
    mask = None if num_new == 1 else torch.ones(num_new, sizes.window, dtype=torch.bool, device=device).tril(older)
    flex = _flex(device, num_new, sizes.window, None if mask is None else lambda _b, _h, i, j: j <= i + older)
    flash = _flash_attn(device)
    return Workload(
        name="paged_attention, " + ("decode" if num_new == 1 else f"append of {num_new}"),
        ours=lambda: paged_attention(q, k, v, (0, num_new), pages, valid),
        others={
            "SDPA, contiguous": lambda: scaled_dot_product_attention(
                whole_q, whole_k, whole_v, attn_mask=mask, enable_gqa=True
            ),
            "FlexAttention": lambda: flex(whole_q, whole_k, whole_v),
            "flash-attn": flash
            if isinstance(flash, str)
            else lambda: flash.flash_attn_func(q[None], whole_k.transpose(1, 2), whole_v.transpose(1, 2), causal=True),
        },
        num_bytes=(2 * q.numel() + k.numel() + v.numel()) * q.itemsize,
        num_flops=4 * sizes.heads * sizes.head_size * sum(range(older + 1, sizes.window + 1)),
    )  # fmt: skip


def _cascade(device: torch.device, sizes: Sizes) -> Workload:
    """Questions that each write one token over one window."""
    import torch
    from ov2_kernels import cascade_attention, paged_attention

    dtype, num_pages = getattr(torch, sizes.dtype), sizes.window // PAGE_TOKENS
    q = torch.randn(NUM_BRANCHES, sizes.heads, sizes.head_size, device=device, dtype=dtype)
    shape = (num_pages + NUM_BRANCHES, PAGE_TOKENS, sizes.kv_heads, sizes.head_size)
    k, v = torch.randn(2, *shape, device=device, dtype=dtype)
    prefix = torch.arange(num_pages, dtype=torch.int32, device=device)
    prefix_valid = torch.full_like(prefix, PAGE_TOKENS)
    own = torch.arange(num_pages, num_pages + NUM_BRANCHES, dtype=torch.int32, device=device)[:, None]
    own_valid = torch.full_like(own, BRANCH_TOKENS)
    starts = tuple(range(NUM_BRANCHES + 1))
    pages = torch.cat([prefix.expand(NUM_BRANCHES, -1), own], 1)
    valid = torch.cat([prefix_valid.expand(NUM_BRANCHES, -1), own_valid], 1)

    def one_by_one() -> None:
        for b in range(NUM_BRANCHES):
            paged_attention(q[b, None], k, v, (0, 1), pages[b, None], valid[b, None])

    return Workload(
        name=f"cascade_attention, {NUM_BRANCHES} branches",
        ours=lambda: cascade_attention(q, k, v, starts, prefix, prefix_valid, own, own_valid),
        others={
            "paged, one call": lambda: paged_attention(q, k, v, starts, pages, valid),
            "paged per branch": one_by_one,
        },
        num_bytes=(2 * q.numel() + k.numel() + v.numel()) * q.itemsize,
        num_flops=4 * sizes.heads * sizes.head_size * NUM_BRANCHES * (sizes.window + BRANCH_TOKENS),
    )


def _patchify(device: torch.device) -> Workload:
    """A whole canvas from a decoded picture; on CUDA both sides count the copy to the device."""
    import av
    import numpy as np
    import torch
    from ov2_kernels import PictureTaps, patchify

    from ov2.pixels import CLIP_MEAN, CLIP_STD, patches_from_canvases
    from stream.codec.colour import colour_matrix
    from stream.codec.picture import Picture
    from stream.codec.resample import BLOCK_PX, area_taps

    (source_width, source_height), (width, height) = SOURCE_SIZE, CANVAS_SIZE
    frame = av.VideoFrame.from_ndarray(
        np.random.default_rng(0).integers(0, 256, (source_height * 3 // 2, source_width), dtype=np.uint8), "yuv420p"
    )
    on_host = [torch.from_numpy(plane.copy()) for plane in _planes(frame)]
    half = [size // 2 for size in (source_height, source_width, height, width)]
    taps = [area_taps(source_height, source_height, height), area_taps(source_width, source_width, width)]
    taps += [area_taps(half[0], half[0], half[2]), area_taps(half[1], half[1], half[3])]
    tables = PictureTaps(*(torch.from_numpy(table).to(device) for one in taps for table in one))
    blocks = np.array([(row, column) for row in range(height // BLOCK_PX) for column in range(width // BLOCK_PX)])
    matrix = torch.from_numpy(colour_matrix(0.299, 0.114, full_range=False)).to(device)
    mean, std, where = (
        torch.tensor(CLIP_MEAN).to(device),
        torch.tensor(CLIP_STD).to(device),
        torch.from_numpy(blocks).to(device),
    )

    def ours() -> Tensor:
        y, u, v = (plane.to(device) for plane in on_host)
        return patchify((y, u, v), tables, matrix, where, mean, std)

    def painted() -> Tensor:
        canvases = np.empty((1, height, width, 3), np.uint8)
        Picture(frame).paint(width, height, blocks, canvases, 0)
        return patches_from_canvases(canvases, CLIP_MEAN, CLIP_STD)[0].to(device)

    return Workload(
        name=f"patchify, {len(blocks)} blocks",
        ours=ours,
        others={"paint, then patches": painted},
        num_bytes=sum(plane.numel() for plane in on_host) + 4 * len(blocks) * BLOCK_PX * BLOCK_PX * 3,
    )


def _planes(frame: Any) -> list[Any]:
    """Planes of a picture whose lines have no padding, or whose padding is cut, [H, W]."""
    import numpy as np

    sides = [(frame.height, frame.width)] + 2 * [(frame.height // 2, frame.width // 2)]
    return [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:rows, :columns]
        for plane, (rows, columns) in zip(frame.planes, sides, strict=True)
    ]


def _flex(device: torch.device, num_queries: int, num_keys: int, visible: Any) -> Callable[..., Tensor]:
    """FlexAttention with a block mask, compiled at its first call."""
    import torch
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    compiled: Any = torch.compile(flex_attention, dynamic=False)
    mask = None if visible is None else create_block_mask(visible, None, None, num_queries, num_keys, device=str(device))
    return lambda q, k, v: compiled(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def _flash_attn(device: torch.device) -> Any:
    """The flash-attn package, or why it does not run here."""
    if device.type != "cuda":
        return "needs CUDA"
    try:
        import flash_attn
    except ImportError as error:
        return f"not installed ({error})"
    return flash_attn

"""Groups and models for the benchmarks of the engine: made up where only sizes matter, a world where answers matter.

In: sizes. Out: a model with a tokenizer, groups of canvases on a running clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ov2.canvas import CanvasGroup
    from ov2.model import OV2Model
    from ov2.text import TextTokenizer

LAYOUTS = ("ov2-nano", "8b")
"""The bundled checkpoint, and the released sizes with random weights."""
FOR_EVER_S = 1e9
"""A trained limit of time that is never met: benchmarks of time choose their own window."""


@dataclass(frozen=True, slots=True)
class GroupSize:
    """Canvases of a group, their pixels, and its seconds."""

    canvases: int
    height: int
    width: int
    span_s: float


SIZES = {"ov2-nano": GroupSize(2, 112, 196, 1.2), "8b": GroupSize(4, 280, 504, 7.5)}
"""As the tokenizer makes them at 640x360, at 50 and at 100 tokens per second."""


def load(layout: str, device: torch.device, dtype: torch.dtype) -> tuple[OV2Model, TextTokenizer]:
    """A checkpoint by name or folder, or a layout with random weights; with its tokenizer."""
    import torch

    from ov2.checkpoint import find
    from ov2.config import OV2Config
    from ov2.model import OV2Model
    from ov2.text import TextTokenizer

    if layout != "8b":
        model = OV2Model.from_pretrained(layout, dtype=dtype, device=device)
        assert model.folder is not None, "expected a model from a folder"
        return model, TextTokenizer.from_folder(model.folder)
    text = TextTokenizer.from_folder(find("ov2-nano"))
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = OV2Model(OV2Config(image_token_id=text.image_pad)).eval()
    finally:
        torch.set_default_dtype(before)
    return model, text


def made_groups(size: GroupSize, seed: int = 0) -> Iterator[CanvasGroup]:
    """Groups of noise for ever, one after another; a run of blocks per canvas."""
    import numpy as np

    from ov2.canvas import BLOCK_PATCHES, BLOCK_PX, MERGE, CanvasGroup

    rng = np.random.default_rng(seed)
    rows, columns = size.height // BLOCK_PX, size.width // BLOCK_PX
    canvases = rng.integers(0, 256, (size.canvases, size.height, size.width, 3), dtype=np.uint8)
    block = np.indices((size.canvases, rows, columns)).reshape(3, -1).T
    positions = np.repeat(block, BLOCK_PATCHES, axis=0).astype(np.int32) * (1, MERGE, MERGE)
    positions[:, 1:] += np.tile([(0, 0), (0, 1), (1, 0), (1, 1)], (len(block), 1))
    for index in count():
        start_s = index * size.span_s
        yield CanvasGroup(
            canvases=canvases,
            positions=positions.astype(np.int32),
            runs=tuple((start_s + 0.1 * canvas, rows * columns) for canvas in range(size.canvases)),
            group_id=index,
            start_s=start_s,
            end_s=start_s + size.span_s,
            wall_s=start_s + size.span_s,
            closed_by="quota",
        )


def scripted_groups(seed: int, seconds: float, model: OV2Model) -> list[CanvasGroup]:
    """Groups of a world, as its camera's tokenizer makes them."""
    import tempfile
    from pathlib import Path

    from stream.sources import open_source
    from stream.tokenizer.settings import settings_from
    from stream.tokenizer.tokenizer import Tokenizer
    from trainer.world import World, write_file

    tokenizer = Tokenizer(settings_from(model.stream_settings.get("tokenizer", {})))
    with tempfile.TemporaryDirectory(prefix="ov2-scene-") as folder:
        path = write_file(World(seed, duration_s=seconds), Path(folder) / "scene.mp4", fps=10)
        with open_source(str(path)) as packets:
            groups = [group for packet in packets for group in tokenizer.push(packet)]
    return groups + tokenizer.flush()


def in_a_loop(groups: list[CanvasGroup]) -> Iterator[CanvasGroup]:
    """The same groups again and again, on one running clock; times stay whole milliseconds."""
    period_s = groups[-1].end_s - groups[0].start_s
    for index in count():
        loop, place = divmod(index, len(groups))
        group, later_s = groups[place], loop * period_s
        yield replace(
            group,
            group_id=index,
            start_s=round(group.start_s + later_s, 3),
            end_s=round(group.end_s + later_s, 3),
            wall_s=group.wall_s + later_s,
            runs=tuple((round(seconds + later_s, 3), blocks) for seconds, blocks in group.runs),
        )

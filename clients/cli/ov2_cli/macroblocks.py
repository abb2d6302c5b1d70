"""`ov2 macroblocks`: where the bits of a recording went, macroblock by macroblock.

In: an H.264 file. Out: a one-screen summary; grids as .npz, and a picture of where the bits went, on request.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from stream.codec.h264.slice_data import MacroblockFrame


def macroblocks(
    file: Annotated[Path, typer.Argument(help="An H.264 file.")],
    npz: Annotated[Path | None, typer.Option(help="Write grids of all pictures, in display order.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write a picture of the bits per macroblock, over the whole file.")] = None,
) -> None:
    """Read bits, quantisers and types of every macroblock from the slice data itself."""
    import numpy as np

    frames, skipped = _read(file)
    kept = [frame for frame in frames if not frame.refused]
    shapes = Counter(frame.bits.shape for frame in kept)
    if len(shapes) > 1:
        raise typer.BadParameter(f"{file}: expected pictures of one size, got {sorted(shapes)} macroblocks; cut the file first")
    _summary(frames, skipped)
    if npz is not None:
        arrays = {name: np.array([getattr(frame, name) for frame in kept]) for name in ("qp", "levels", "skipped", "kind")}
        arrays |= {"mb_bits": np.array([frame.bits for frame in kept], np.int32)}
        arrays |= {name: np.array([getattr(frame, name) for frame in kept]) for name in ("damaged", "sequence", "order")}
        arrays |= {"pict_types": np.array([frame.picture_type for frame in kept])}
        np.savez_compressed(npz, allow_pickle=False, **arrays)
        typer.echo(f"  written to {npz}")
    if png is not None and kept:
        _heat_map(np.mean([frame.bits for frame in kept], axis=0), png)
        typer.echo(f"  picture in {png}")


def _read(file: Path) -> tuple[list[MacroblockFrame], Counter[str]]:
    """All pictures in display order."""
    from stream.codec.h264.slice_data import MacroblockParser
    from stream.errors import CodecError
    from stream.sources import open_source

    parser = MacroblockParser()
    frames = []
    with open_source(str(file)) as packets:
        if packets.codec != "h264":
            raise CodecError(f"{file}: expected H.264, got {packets.codec}; only its slice data can be read")
        for packet in packets:
            frame = parser.push(packet.data)
            if frame is not None:
                frames.append(frame)
    return sorted(frames, key=lambda frame: (frame.sequence, frame.order)), parser.skipped


def _summary(frames: list[MacroblockFrame], skipped: Counter[str]) -> None:
    types = Counter(frame.picture_type for frame in frames)
    parts: Counter[str] = Counter()
    for bits in (bits for frame in frames for bits in frame.slices):
        for name in ("macroblock", "header", "flag", "trailing", "emulation"):
            parts[name] += getattr(bits, f"{name}_bits")
        parts["total"] += bits.total_bits
    typer.echo(f"  {len(frames)} pictures: " + ", ".join(f"{count} {kind}" for kind, count in sorted(types.items())))
    if parts["total"]:
        shares = ", ".join(
            f"{name} {100 * parts[name] / parts['total']:.1f} %" for name in ("macroblock", "header", "trailing")
        )
        typer.echo(f"  {parts['total']} bits in slices: {shares}")
    refused = Counter(frame.refused for frame in frames if frame.refused)
    damaged = sum(frame.damaged for frame in frames)
    for reason, count in [*refused.items(), *skipped.items(), *([("damaged", damaged)] if damaged else [])]:
        typer.echo(f"  {count} not read: {reason}" if reason != "damaged" else f"  {count} damaged: read as far as possible")


def _heat_map(mean_bits: np.ndarray, path: Path) -> None:
    """Bits per macroblock on a logarithmic scale, a block of 16 pixels each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.colors import LogNorm

    rows, columns = mean_bits.shape
    figure, axes = pyplot.subplots(figsize=(8, 8 * rows / columns + 0.6), layout="constrained")
    image = axes.imshow(mean_bits + 0.1, norm=LogNorm(), cmap="inferno")
    axes.set_axis_off()
    figure.colorbar(image, label="bits per macroblock and picture", shrink=0.8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)

"""Plots of the benchmarks: plain, small, one idea each.

In: a benchmark's table, or a film. Out: PNG files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ov2_bench.boundaries import Row, Told
    from ov2_bench.group_measures import FilmTruth, GroupSpan
    from trainer.world import World

BIN_S = 0.5
"""Bins of the tokenizer's quota (half a second)."""
SMALL_BYTES, LARGE_BYTES = 100, 2000
DPI = 80
_COLOURS = {"bytes": "tab:blue", "log": "tab:orange", "complexity": "tab:green", "regions": "tab:red"}
_KINDS = {"uniform": "0.6", "preset": "tab:blue", "coded": "tab:orange"}
"""Colour of a policy by a part of its name, the first that is found."""


def save_f1(table: Mapping[str, Mapping[str, Row]], path: Path) -> None:
    """F1 of every cost alone, and of regions, for every encoding, each with a mark where chance would be."""
    figure, axes = _figure(9.5, 3.6)
    for column, (cost, colour) in enumerate(_COLOURS.items()):
        at = [row + (column - 1.5) * 0.2 for row in range(len(table))]
        axes.bar(at, [rows[cost]["f1"] for rows in table.values()], 0.18, color=colour, label=cost)
        chance = [rows[cost]["chance_f1"] for rows in table.values()]
        axes.plot(at, chance, "k_", markersize=8, label="by chance" if column == 3 else None)
    axes.set_xticks(range(len(table)), list(table), rotation=25, ha="right")
    axes.set_ylabel("F1")
    axes.set_ylim(0, 1)
    axes.legend(ncols=5, loc="upper left", frameon=False)
    _save(figure, path)


def save_log_cost(world: World, packets: Sequence[Told], path: Path) -> dict[str, float]:
    """What a packet weighs by `bytes` and by `log`, and what that makes of one film. Returns the share of each cost that falls
    on the half seconds in which something moves, and, as `time`, their share of the time."""
    import numpy as np

    from stream.tokenizer.costs import FrameCosts

    moves = _moving_bins(world)
    costs = {name: np.zeros(len(moves)) for name in ("bytes", "log")}
    for name, bins in costs.items():
        of = FrameCosts(name, 0.0).of
        for each in packets:
            packet = each.packet
            bins[min(len(bins) - 1, int(packet.media_s / BIN_S))] += of(packet.size_bytes, is_key=packet.is_key)
    shares = {name: float(bins[moves].sum() / bins.sum()) for name, bins in costs.items()}
    figure, (left, right) = _figure(11, 3.4, columns=(1, 2.4))
    sizes = np.arange(1, LARGE_BYTES + 1)
    left.plot(sizes, sizes / LARGE_BYTES, color=_COLOURS["bytes"], label="bytes")
    left.plot(sizes, np.log1p(sizes) / np.log1p(LARGE_BYTES), color=_COLOURS["log"], label="log")
    left.axvline(SMALL_BYTES, color="gray", lw=0.8, ls=":")
    left.set_xlabel("packet, bytes")
    left.set_ylabel(f"weight, {LARGE_BYTES} bytes = 1")
    left.legend(frameon=False)
    times_s = (np.arange(len(moves)) + 0.5) * BIN_S
    right.fill_between(
        times_s, 0, 1, where=moves, step="mid", transform=right.get_xaxis_transform(), color="0.9", label="moves"
    )
    for name, bins in costs.items():
        right.step(
            times_s, bins / bins.mean(), where="mid", color=_COLOURS[name], label=f"{name}: {shares[name]:.0%} of cost in grey"
        )
    right.set_xlabel("seconds")
    right.set_ylabel("cost per half second, mean = 1")
    right.set_ylim(0, 1.2 * max(float((bins / bins.mean()).max()) for bins in costs.values()))
    right.legend(frameon=False, ncols=3, loc="upper right")
    _save(figure, path)
    return shares | {"time": float(moves.mean())}


def _moving_bins(world: World) -> Any:
    """Half seconds of a world in which an actor moves, bool [bins]."""
    import numpy as np

    from trainer.world.render import is_still

    num_bins = int(world.duration_s / BIN_S)
    looks_s = [[(bin_ + part) * BIN_S for part in (0.1, 0.5, 0.9)] for bin_ in range(num_bins)]
    return np.array([any(not is_still(actor) for t_s in looks for actor in world.state_at(t_s).actors) for looks in looks_s])


def save_coverage(table: Mapping[str, Row], path: Path) -> None:
    """Coverage of every policy, as bars."""
    figure, axes = _figure(8, 0.3 * len(table) + 1)
    names = list(table)[::-1]
    values = [100 * (table[name]["coverage"] or 0.0) for name in names]
    colours = [next((colour for part, colour in _KINDS.items() if part in name), "tab:green") for name in names]
    bars = axes.barh(names, values, color=colours)
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set_xlabel("moving pixels that were shown, %")
    axes.set_xlim(0, max(values) * 1.12)
    _save(figure, path)


def save_groups(name: str, by_rate: Mapping[str, Sequence[GroupSpan]], truth: FilmTruth, path: Path) -> None:
    """Tokens over time of every rate, group by group, under the cost; what happens in grey."""
    figure, rows = _figure(12, 1.5 + 1.3 * len(by_rate), num_rows=1 + len(by_rate))
    costly = next(iter(by_rate.values()))
    _steps(rows[0], costly, [group.cost / group.span_s for group in costly], "tab:green")
    rows[0].set_ylabel("cost per s")
    rows[0].set_title(f"{name}: the tokenizer's cost, and tokens per second at each token rate", fontsize=10, loc="left")
    for axes, (rate, groups) in zip(rows[1:], by_rate.items(), strict=True):
        _steps(axes, groups, [group.tokens / group.span_s for group in groups], "tab:blue")
        axes.axhline(float(rate), color="k", lw=0.7, ls=":")
        axes.set_ylabel(f"tokens/s at {rate}")
    for axes in rows:
        axes.set_xlim(0, truth.duration_s)
        axes.set_ylim(bottom=0)
        for low_s, high_s in truth.active:
            axes.axvspan(low_s, high_s, color="0.88", lw=0, zorder=0)
    rows[-1].set_xlabel("seconds")
    _save(figure, path)


def _steps(axes: Any, groups: Sequence[GroupSpan], heights: Sequence[float], colour: str) -> None:
    """One step per group."""
    if groups:
        axes.stairs(heights, [*(group.start_s for group in groups), groups[-1].end_s], color=colour, fill=True, alpha=0.8)


def _figure(width: float, height: float, columns: Sequence[float] = (1,), num_rows: int = 1) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(num_rows, len(columns), figsize=(width, height), width_ratios=columns, layout="constrained")


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)

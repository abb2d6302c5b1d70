"""The picture of a chaos run: a lane per camera, coloured by state, with a mark for each fault; and what the service held.

In: a `ChaosRun`. Out: a PNG.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from ov2_bench.chaos.run import ChaosRun
from ov2_bench.chaos.schedule import FaultKind

DPI = 90
STATE_COLOURS = {
    "live": "#74c476",
    "degraded": "#fed976",
    "stalled": "#c994c7",
    "connecting": "#9ecae1",
    "offline": "#e34a33",
    "disabled": "#d9d9d9",
}
MARKS = {
    FaultKind.KILL: "X",
    FaultKind.STALL: "s",
    FaultKind.HALF_CLOSE: "d",
    FaultKind.SLOW: "v",
    FaultKind.CUT: "|",
    FaultKind.RESIZE: "P",
    FaultKind.CLOCK: "o",
}


def save_timeline(run: ChaosRun, path: Path) -> None:
    """Write the picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 1.6 + 0.42 * len(run.watched)), dpi=DPI, layout="constrained")
    lanes, held = figure.subplots(2, 1, sharex=True, height_ratios=(len(run.watched), 2))
    zero_s, end_s = run.phases[0][1], run.phases[-1][1]
    _draw_lanes(lanes, run, zero_s, end_s)
    _draw_held(held, run, zero_s)
    figure.savefig(path)


def _draw_lanes(axes: Any, run: ChaosRun, zero_s: float, end_s: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    seen: dict[str, None] = {}
    for lane, watched in enumerate(run.watched.values()):
        changes = [*watched.states, (end_s, "")]
        for (since_s, state), (until_s, _) in pairwise(changes):
            seen[state] = None
            axes.barh(lane, until_s - since_s, left=since_s - zero_s, height=0.7, color=STATE_COLOURS.get(state, "black"))
    names = list(run.watched)
    for outage in run.outages:
        at = (outage.began_s - zero_s, names.index(outage.camera))
        axes.plot(*at, MARKS[outage.kind], color="black", markersize=6, markerfacecolor="white")
        if outage.outage_s is not None and outage.back_s is not None and outage.flows_s is not None:
            axes.plot([outage.back_s - zero_s, outage.flows_s - zero_s], [at[1] - 0.42] * 2, color="black", lw=1.5)
    for _, began_s in run.phases[1:-1]:
        axes.axvline(began_s - zero_s, color="gray", lw=0.7, ls=":")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    states = [Patch(color=STATE_COLOURS.get(state, "black"), label=state) for state in seen]
    marks = [
        Line2D([], [], ls="", marker=mark, color="black", markerfacecolor="white", label=kind.value)
        for kind, mark in MARKS.items()
    ]
    outage_line = Line2D([], [], color="black", lw=1.5, label="outage")
    axes.legend(
        handles=[*states, *marks, outage_line],
        ncols=7,
        fontsize=7,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        frameon=False,
    )


def _draw_held(axes: Any, run: ChaosRun, zero_s: float) -> None:
    at = [at_s - zero_s for at_s, _ in run.footprints]
    axes.plot(at, [each.memory_bytes / 2**20 for _, each in run.footprints], color="tab:blue", label="MiB")
    axes.set_ylabel("memory, MiB", color="tab:blue")
    counts = axes.twinx()
    counts.plot(at, [each.fds for _, each in run.footprints], color="tab:orange", label="descriptors")
    counts.plot(at, [each.threads for _, each in run.footprints], color="tab:green", label="threads")
    counts.legend(fontsize=7, loc="upper left", frameon=False)
    axes.set_xlabel("seconds")

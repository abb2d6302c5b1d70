"""The picture of a run: what the service holds, how long /healthz takes, and which attack was under way.

In: an `AttackRun`. Out: a PNG.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ov2_bench.attack.run import AttackRun, Siege

DPI = 90
LEAST_MS = 0.5


def save_siege(run: AttackRun, path: Path) -> None:
    """Write the picture: a column for each service."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7 * len(run.sieges), 8), dpi=DPI, layout="constrained")
    axes = figure.subplots(4, len(run.sieges), sharex="col", squeeze=False, height_ratios=(2, 2, 1.5, 4))
    for column, siege in enumerate(run.sieges):
        _draw(siege, [row[column] for row in axes])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _draw(siege: Siege, axes: list[Any]) -> None:
    memory, stalls, counts, lanes = axes
    zero_s = siege.phases[0][1]
    at = [each.at_s - zero_s for each in siege.weights]
    memory.plot(at, [each.memory_bytes / 2**20 for each in siege.weights], color="tab:blue")
    memory.set_ylabel("memory, MiB")
    memory.set_ylim(0)
    memory.set_title(siege.service, loc="left")
    stalls.semilogy(
        [each.at_s - zero_s for each in siege.readings],
        [max(LEAST_MS, each.answer_ms) for each in siege.readings],
        ",",
        color="tab:red",
    )
    stalls.axhline(500, color="gray", lw=0.8, ls=":")
    stalls.set_ylabel("/healthz, ms")
    counts.plot(at, [each.fds for each in siege.weights], color="tab:orange", label="descriptors")
    counts.plot(at, [each.temporary_bytes / 2**20 for each in siege.weights], color="tab:green", label="temporary, MiB")
    counts.legend(fontsize=7, frameon=False, loc="upper left")
    names = sorted({name for name, _, _ in siege.strikes})
    for name, began_s, ended_s in siege.strikes:
        lanes.barh(names.index(name), ended_s - began_s, left=began_s - zero_s, height=0.7, color="tab:purple")
    lanes.set_yticks(range(len(names)), names, fontsize=7)
    lanes.invert_yaxis()
    lanes.set_xlabel("seconds")
    for _, began_s in siege.phases[1:-1]:
        for axis in axes:
            axis.axvline(began_s - zero_s, color="gray", lw=0.7, ls=":")

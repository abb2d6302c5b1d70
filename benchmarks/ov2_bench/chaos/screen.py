"""The screen of a chaos run: one page while it goes on, one table at its end.

In: a `ChaosRun`, and what it came to. Out: rich renderables.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ov2_bench.chaos.run import ChaosRun
from ov2_bench.page import keep_drawn

REFRESH_S = 0.5
STATE_STYLE = {
    "live": "green",
    "degraded": "yellow",
    "stalled": "magenta",
    "connecting": "cyan",
    "offline": "red",
    "disabled": "dim",
}


async def show(run: ChaosRun, console: Console) -> None:
    """Redraw the page until cancelled; into a file go phases and faults, a line each."""
    if not console.is_terminal:
        await _lines_of(run, console)
    await keep_drawn(lambda: draw(run), console, REFRESH_S)


async def _lines_of(run: ChaosRun, console: Console) -> NoReturn:
    told: set[tuple[float, str]] = set()
    while True:
        faults = [(outage.began_s, f"  {outage.camera}: {outage.kind.value}") for outage in run.outages]
        phases = [(began_s, phase) for phase, began_s in run.phases]
        for at_s, what in sorted({*phases, *faults} - told):
            console.print(f"{at_s - run.began_s:6.1f} s  {what}", highlight=False)
        told |= {*phases, *faults}
        await asyncio.sleep(REFRESH_S)


def draw(run: ChaosRun) -> RenderableType:
    """The page: phase, cameras, what each has suffered."""
    now_s = time.monotonic()
    phase, since_s = run.phases[-1] if run.phases else ("start", now_s)
    head = Text.assemble(
        (" OV2 Live chaos ", "bold reverse"),
        f"  seed {run.settings.seed}   {phase} {now_s - since_s:4.0f} s   {len(run.outages)} faults   "
        f"{run.tracebacks} exceptions   {run.failures} unanswered",
    )
    held = run.footprints[-1][1] if run.footprints else None
    figures = (
        f"{held.memory_bytes / 2**20:.0f} MiB   {held.threads} threads   {held.fds} descriptors   {held.processes} processes"
        if held
        else "weighing"
    )
    return Group(head, Text(figures, style="dim"), _cameras(run, now_s))


def _cameras(run: ChaosRun, now_s: float) -> Table:
    table = Table(box=None, padding=(0, 1))
    for name in ("camera", "state", "groups", "frame age", "reconnects", "last fault", "outage", "allowed"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("groups", "frame age", "reconnects") else "left")
    for name, watched in run.watched.items():
        status, outage = watched.status, watched.outage
        age_ms = status.get("frame_age_ms")
        table.add_row(
            name,
            Text(watched.state, style=STATE_STYLE.get(watched.state, "")),
            str(status.get("groups", "-")),
            "-" if age_ms is None else f"{age_ms:.0f} ms",
            str(status.get("reconnects", "-")),
            f"{outage.kind.value} {now_s - outage.began_s:.0f} s ago" if outage else "-",
            "-" if outage is None else "..." if outage.outage_s is None else f"{outage.outage_s:.1f} s",
            "-" if outage is None or outage.outage_s is None else f"{outage.allowed_s:.1f} s",
        )
    return table


def tell(result: Mapping[str, Any], console: Console) -> None:
    """The table at the end."""
    table = Table(
        title=f"{result['blows']} faults in {result['minutes']:g} minutes, seed {result['seed']}", title_justify="left"
    )
    for name in ("fault", "times", "median outage", "longest outage", "late"):
        table.add_column(name, justify="left" if name == "fault" else "right")
    for kind, row in result["injuries"].items():
        times = (f"{row['median_outage_s']:.2f} s", f"{row['longest_outage_s']:.2f} s")
        table.add_row(kind, str(row["count"]), *times, str(row["late"]))
    console.print(table)
    for line in _lines(result):
        console.print(line, highlight=False)


def _lines(result: Mapping[str, Any]) -> list[str]:
    before, after = result["memory_mib"]
    return [
        f"longest outage {result['longest_outage_s']:.2f} s, at most {result['longest_outage_share']:.0%} of what is allowed "
        f"(2 x backoff + 5 s); {result['late']} late, {result['never_back']} never back; "
        f"live again after {result['longest_until_live_s']:.1f} s at most",
        f"exceptions {result['exceptions']}, unanswered requests {result['unanswered']}, exit status {result['exit_status']} "
        f"after {result['stop_s']} s",
        f"memory {before:.0f} to {after:.0f} MiB ({result['memory_growth']:+.1%}), threads {result['thread_growth']:+d}, "
        f"descriptors {result['fd_growth']:+d}, processes {result['process_growth']:+d}",
        f"groups of untouched cameras: {result['untouched_jitter_ms']:.0f} ms off the beat (p95), {result['quiet_jitter_ms']:.0f} ms "
        f"before the first fault; the machine was idle {result['idle_share']:.0%} of the time",
        f"down in the end: {', '.join(result['down']) or 'none'}; degraded: {', '.join(result['degraded']) or 'none'}",
    ]

"""The screen of a run: one page while it goes on, one table at its end.

In: an `AttackRun`, and what it came to. Out: rich renderables.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ov2_bench.attack.run import AttackRun
from ov2_bench.attack.verdict import broken_promises
from ov2_bench.page import keep_drawn

REFRESH_S = 0.5
SHOWN = 90
NEWEST = 40
"""Readings of the probe that the page sums up."""


async def show(run: AttackRun, console: Console) -> None:
    """Redraw the page until cancelled; into a file goes what is under way, a line each."""
    if not console.is_terminal:
        await _lines_of(run, console)
    await keep_drawn(lambda: draw(run), console, REFRESH_S)


async def _lines_of(run: AttackRun, console: Console) -> NoReturn:
    told = ""
    while True:
        if run.now != told:
            told = run.now
            console.print(
                f"{time.monotonic() - run.began_s:6.1f} s  {told}   ({run.ledger.tried} tried, {run.ledger.failed} failed)",
                highlight=False,
            )
        await asyncio.sleep(REFRESH_S)


def draw(run: AttackRun) -> RenderableType:
    """The page: how far it is, what the service holds, each attack so far."""
    spent_s = time.monotonic() - run.began_s
    siege = run.sieges[-1] if run.sieges else None
    head = Text.assemble(
        (" OV2 Live attack ", "bold reverse"),
        f"  seed {run.settings.seed}   {siege.service if siege else ''}   {run.now}   {spent_s:.0f} s   {run.ledger.tried} tried   ",
        (f"{run.ledger.failed} failed", "red" if run.ledger.failed else "green"),
    )
    return Group(
        head,
        ProgressBar(total=run.settings.attack_s, completed=min(spent_s, run.settings.attack_s)),
        _figures(run),
        _table(run),
    )


def _figures(run: AttackRun) -> Text:
    if not run.sieges or not run.sieges[-1].weights:
        return Text("weighing", style="dim")
    siege = run.sieges[-1]
    held, stalls = siege.weights[-1], [each.answer_ms for each in siege.readings]
    restarts = sum(each.target.num_restarts for each in run.sieges)
    return Text(
        f"{held.memory_bytes / 2**20:.0f} MiB   {held.fds} descriptors   {held.temporary_bytes / 2**20:.1f} MiB temporary   "
        f"/healthz {max(stalls[-NEWEST:], default=0):.0f} ms now, {max(stalls, default=0):.0f} ms at worst   {restarts} restarts",
        style="dim",
    )


def _table(run: AttackRun) -> Table:
    table = Table(box=None, padding=(0, 1))
    for name in ("attack", "strikes", "tried", "failed", "last failure"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("attack", "last failure") else "right")
    for name, record in run.ledger.records.items():
        last = next(reversed(record.failures), record.skipped)
        style = "bold" if name == run.now else ""
        failed = Text(str(record.failed), style="red" if record.failed else "green")
        table.add_row(Text(name, style=style), str(record.strikes), str(record.tried), failed, Text(last[:SHOWN], style="dim"))
    return table


def tell(result: Mapping[str, Any], console: Console) -> None:
    """The table at the end, and what it means."""
    table = Table(title=f"{result['minutes']:g} minutes, seed {result['seed']}", title_justify="left")
    for name in ("attack", "tried", "failed", "stall", "what"):
        table.add_column(name, justify="left" if name in ("attack", "what") else "right", overflow="fold")
    for name, row in sorted(result["attacks"].items()):
        what = row["skipped"] or "; ".join(f"{number} x {words}" for words, number in list(row["what"].items())[:2])
        table.add_row(name, str(row["tried"]), str(row["failed"]), f"{row['longest_stall_ms']:.0f} ms", Text(what[: 3 * SHOWN]))
    console.print(table)
    for name, row in result["services"].items():
        console.print(_line(name, row), highlight=False)
    for line in broken_promises(result) or ["every promise held"]:
        console.print(line, style="bold", highlight=False)


def _line(name: str, row: Mapping[str, Any]) -> str:
    before_after = " to ".join(f"{each:.0f}" for each in row["rss_mib"])
    return (
        f"{name}: {row['restarts']} + {row['engine_restarts']} restarts, longest stall {row['longest_stall_ms']:.0f} ms "
        f"(the probe itself woke {row['machine_late_ms']:.0f} ms late at worst), memory {before_after} MiB ({row['rss_growth']:+.1%}, "
        f"peak {row['peak_mib']:.0f}), descriptors {row['fd_growth']:+d}, {row['tmp_left_bytes']} bytes left in its temporary folder"
    )

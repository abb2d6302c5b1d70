"""The screen of a run: one page while it goes on, one table at its end.

In: a `FaultRun`, and what it came to. Out: rich renderables.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ov2_bench.faults.run import FaultRun
from ov2_bench.faults.verdict import broken_promises
from ov2_bench.page import keep_drawn

REFRESH_S = 0.5
NEWEST = 8


async def show(run: FaultRun, console: Console) -> None:
    """Redraw the page until cancelled; into a file go phases and faults, a line each."""
    if not console.is_terminal:
        await _lines_of(run, console)
    await keep_drawn(lambda: draw(run), console, REFRESH_S)


async def _lines_of(run: FaultRun, console: Console) -> NoReturn:
    told, phase = 0, ""
    while True:
        if run.phase != phase:
            phase = run.phase
            console.print(f"{time.monotonic() - run.began_s:6.1f} s  {phase}", highlight=False)
        for at_s, fault in run.injected[told:]:
            told += 1
            console.print(f"{at_s - run.began_s:6.1f} s    {fault.kind} ({fault.lasts_s:.1f} s)", highlight=False)
        await asyncio.sleep(REFRESH_S)


def draw(run: FaultRun) -> RenderableType:
    """The page: how far it is, what is up, what was broken last."""
    now_s, testbed = time.monotonic(), run.testbed
    spent_s = min(now_s - run.began_s, run.settings.faults_s)
    head = Text.assemble(
        (" OV2 Live faults ", "bold reverse"),
        f"  seed {run.settings.seed}   {run.phase}   {now_s - run.began_s:.0f} s   {len(run.injected)} faults   "
        f"{len(testbed.entries)} entries in the journal   {testbed.subscriber.num_told} messages came",
    )
    up = Text()
    for program in testbed.running:
        up.append(f" {program.name} ", "green" if program.is_up else "red")
    up.append(f"  {testbed.journal.get('degraded', '')}", "yellow")
    table = Table(box=None, padding=(0, 1), show_header=False)
    for at_s, fault in run.injected[-NEWEST:]:
        table.add_row(f"{now_s - at_s:.0f} s ago", str(fault.kind), f"for {fault.lasts_s:.1f} s")
    return Group(head, ProgressBar(total=run.settings.faults_s, completed=spent_s), up, table)


def tell(run: FaultRun, result: Mapping[str, Any], console: Console) -> None:
    """The table at the end, and what it means."""
    restarts, injected = result["restarts"], Counter(str(fault.kind) for _, fault in run.injected)
    console.print(
        f"{result['minutes']:g} minutes, seed {result['seed']}, journal {result['journal']}: "
        + ", ".join(f"{count} x {fault}" for fault, count in sorted(injected.items())),
        highlight=False,
    )
    table = Table(show_header=False)
    rows = {
        "entries of events in the journal": f"{result['events']} ({result['watch_events']} of watches)",
        "reached the subscriber": f"{result['delivered']}, {result['missing']} missing, {result['unwritten']} not in the journal",
        "came again": f"{result['duplicates']}: {result['repeated_by_broker']} by the broker, {result['unmarked_duplicates']} unmarked",
        "out of order": f"{result['out_of_order']}",
        "under a second id": f"{result['second_ids']}, {result['broken_lives']} broken lives",
        "drops": f"{result['drops']} in the journal, {result['drops_told']} told",
        "restarts": ", ".join(f"{name} {count}" for name, count in restarts.items()),
        "disk full": f"{result['disk_full']} times, {result['disk_full_degraded']} noticed, "
        f"{'recovered' if result['disk_full_recovered'] else 'not recovered'} ({result['disk']})",
        "clock moved": f"{result['clock']}" + (" times, an hour" if isinstance(result["clock"], int) else ""),
        "exceptions": f"{result['exceptions']}, exit status {result['exit_status']}, {result['refused']} requests refused",
        "quiet after": f"{result['settled_s']} s",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
    for line in broken_promises(result) or ["every promise held"]:
        console.print(line, style="bold", highlight=False)

"""The evaluation of alerts on one screen. In: its result. Out: a table on a console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ov2_bench.alerts.run import Result
    from trainer.evaluate.alerts import Tally


def print_alerts(console: Console, result: Result) -> None:
    table = Table(title=f"alerts of {result.camera_hours * 60:.0f} camera minutes, received over MQTT")
    for name in ("watch", "right", "wrong", "missed", "F1", "median delay", "p95"):
        table.add_column(name, justify="left" if name == "watch" else "right")
    for name, tally in result.watches.items():
        table.add_row(name, *_cells(tally))
    table.add_section()
    table.add_row("all", *_cells(result.total))
    console.print(table)
    boundary = result.boundaries
    console.print(
        f"false alerts: {result.total.wrong / result.camera_hours:.0f} per camera hour, {len(result.watches)} watches armed; "
        f"boundaries: F1 {boundary['f1']:.2f} (by chance {boundary['chance_f1']:.2f}), "
        f"median delay {boundary['median_delay_s']:.2f} s"
    )


def _cells(tally: Tally) -> tuple[str, ...]:
    median_s, p95_s = tally.median_delay_s, tally.p95_delay_s
    delays = ("-" if value is None else f"{value:.2f} s" for value in (median_s, p95_s))
    return (str(tally.right), str(tally.wrong), str(tally.missed), f"{tally.f1:.2f}", *delays)

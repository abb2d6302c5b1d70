"""The doctor's screen: what was found on one page of 100 columns, and the ladder of a source that does not open.

In: a `Report`, or `CheckStep`s. Out: a rich renderable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ov2_cli.doctor_rows import ROWS, kbps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.doctor.advice import Advice
    from stream.doctor.connection_check import CheckStep
    from stream.doctor.facts import Facts
    from stream.doctor.report import Report

BARS = "▁▂▃▄▅▆▇█"
CHART_ROWS = 2
BORDER = "bright_black"
MARKS = {"ok": ("●", "green"), "note": ("●", "cyan"), "warn": ("▲", "yellow"), "bad": ("✖", "red")}
ROW_OF = {
    "no_picture": "damage",
    "connection_broke": "damage",
    "damaged": "damage",
    "watch_cut_short": "transport",
    "short_watch": "transport",
    "slow_start": "transport",
    "codec_reduced": "evidence",
    "evidence_reduced": "evidence",
    "intra_only": "evidence",
    "interlaced": "video",
    "resized": "video",
    "token_rate_limited": "groups",
    "long_gop": "keys",
    "no_key": "keys",
    "smart_codec": "keys",
    "intra_refresh": "keys",
    "parameter_sets_once": "keys",
    "b_frames": "order",
    "starved": "quality",
    "coarse": "quality",
    "generous": "quality",
    "cost": "cost",
    "slow_frames": "pictures",
    "fast_frames": "pictures",
    "frame_rate_claim": "pictures",
    "stalls": "arrival",
    "jitter": "arrival",
    "no_sender_reports": "clock",
    "clock_wrong": "clock",
    "clock_drift": "clock",
    "timestamps": "clock",
}
"""The row that each advice is about."""
_WORST = tuple(MARKS)


def draw_report(report: Report) -> RenderableType:
    """The whole page."""
    facts = report.facts
    rows = {name: text for name, tell in ROWS.items() if (text := tell(facts))}
    worst = dict.fromkeys(rows, "ok")
    for advice in report.advice:
        row = ROW_OF.get(advice.code, "")
        if row in worst:
            worst[row] = max(worst[row], advice.severity, key=_WORST.index)
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(ratio=1)
    for name, text in rows.items():
        mark, colour = MARKS[worst[name]]
        table.add_row(Text(mark, style=colour), name, text)
    page: list[RenderableType] = [Panel(table, title=_title(facts), title_align="left", border_style=BORDER)]
    if facts.bits is not None and len(facts.bits.timeline_kbps) > 1:
        page.append(Panel(_timeline(facts), title=_timeline_title(facts), title_align="left", border_style=BORDER))
    page.append(Panel(_advice(report.advice), title=_verdict(report), title_align="left", border_style=_colour(report)))
    return Group(*page)


def draw_ladder(source: str, rungs: Sequence[CheckStep]) -> RenderableType:
    """Ticks up to the rung that broke."""
    from stream.sources import redact

    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=1)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", style="dim", no_wrap=True)
    for rung in rungs:
        text = Text(rung.seen)
        if rung.mend:
            text.append(f"\n→ {rung.mend}", style="yellow")
        table.add_row(Text("✓", "green") if rung.ok else Text("✗", "bold red"), rung.step, text, f"{rung.ms:.0f} ms")
    return Panel(
        table,
        title=Text.assemble(("ov2 doctor", "bold default"), f"  {redact(source)}"),
        title_align="left",
        border_style="red",
    )


def _title(facts: Facts) -> Text:
    seconds = (
        f"{facts.transport.watched_s:.1f} s watched" if facts.transport.is_live else f"{facts.transport.watched_s:.1f} s read"
    )
    return Text.assemble(("ov2 doctor", "bold default"), (f"  {facts.transport.address}  ", "default"), (seconds, "dim"))


def _verdict(report: Report) -> Text:
    counts = {name: sum(each.severity == name for each in report.advice) for name in ("bad", "warn", "note")}
    names = {"bad": "bad", "warn": "to mend", "note": "to know"}
    said = ", ".join(f"{count} {names[name]}" for name, count in counts.items() if count)
    verdict = "usable" if report.usable else "not usable like this"
    return Text.assemble((verdict, f"bold {_colour(report)}"), (f"  {said}" if said else "", "dim"))


def _colour(report: Report) -> str:
    worst = max((each.severity for each in report.advice), key=_WORST.index)
    return "green" if worst == "note" else MARKS[worst][1]


def _advice(advice: Sequence[Advice]) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(ratio=1)
    for each in advice:
        mark, colour = MARKS[each.severity]
        text = Text(each.measured)
        if each.setting:
            text.append(f"\n→ {each.setting}", style=f"bold {colour}")
        table.add_row(Text(mark, style=colour), each.code, text)
    return table


def _timeline_title(facts: Facts) -> Text:
    assert facts.bits is not None
    high = max(facts.bits.timeline_kbps)
    text = Text.assemble(("bit rate over the watch", "bold default"), (f"  highest bar {kbps(high)}", "dim"))
    if facts.keys is not None and facts.keys.times_s:
        text.append("  yellow: key frames", style="yellow")
    return text


def _timeline(facts: Facts) -> Text:
    assert facts.bits is not None
    bars, step_s = facts.bits.timeline_kbps, facts.bits.timeline_s
    keys = {int(time_s / step_s + 1e-9) for time_s in facts.keys.times_s} if facts.keys is not None else set()
    high = max(bars) or 1.0
    text = Text(no_wrap=True)
    for row in range(CHART_ROWS - 1, -1, -1):
        for number, rate in enumerate(bars):
            eighths = max(1, round(rate / high * len(BARS) * CHART_ROWS)) - row * len(BARS)
            bar = BARS[min(eighths, len(BARS)) - 1] if eighths > 0 else " "
            text.append(bar, style="yellow" if number in keys else "cyan")
        text.append("\n" if row else "")
    return text

"""The demo's screen: one page that shows the line at work.

In: the demo's `State`. Out: a rich renderable, redrawn a few times a second in a terminal; plain lines where there is none.
"""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ov2_cli.demo.bars import cost_bars, token_bars, tokens_told
from ov2_cli.demo.state import AskedQuestion, State

SHOWN = 8
COLUMNS = 118
"""Of the page as a picture."""
FRAME_COLUMNS = 4
"""Of a panel: its border and what it keeps free."""


def draw(state: State, columns: int = COLUMNS) -> RenderableType:
    """The whole page, so many columns wide."""
    head = Text.assemble(
        (" OV2 Live demo ", "bold reverse"),
        f"  seed {state.seed}   {state.media_s:5.1f} / {state.seconds} s   {state.phase}",
    )
    figures = Text(
        f"{state.num_groups} groups   {_rate(state)}   frame age "
        + (f"{state.frame_age_ms:.0f} ms" if state.frame_age_ms is not None else "-")
        + f"   latest canvases: {state.picture or '-'}"
    )
    return Group(
        head,
        figures,
        Panel(
            _spending(state, columns - FRAME_COLUMNS),
            title="what the camera spent (bytes per half second), cuts between groups",
            title_align="left",
        ),
        Panel(_questions(state), title="questions, asked live", title_align="left"),
        Panel(_alerts(state), title="alerts over MQTT", title_align="left"),
    )


def _spending(state: State, columns: int) -> RenderableType:
    """What came, and where its tokens went, over the same half seconds."""
    lines = [cost_bars(state, columns)]
    if state.groups:
        lines += [token_bars(state, columns), tokens_told(state)]
    return Group(*lines)


def _rate(state: State) -> str:
    asked = f" (token_rate {state.token_rate:g})" if state.token_rate is not None else ""
    return f"{state.tokens_per_s:.1f} tokens/s{asked}"


def _questions(state: State) -> RenderableType:
    table = Table(box=None, padding=(0, 1), show_edge=False)
    for name in ("at", "question", "answer", "truth", "", "first token"):
        table.add_column(name, no_wrap=name in ("at", ""))
    for question in state.questions[-SHOWN:]:
        table.add_row(*_cells(question), style="green" if question.correct else "red")
    if state.asking:
        table.add_row("", state.asking, "...", "", "", "", style="dim")
    return table


def _cells(question: AskedQuestion) -> tuple[str, ...]:
    first = f"{question.first_token_ms:.0f} ms" if question.first_token_ms is not None else "-"
    tick = "✓" if question.correct else "✗"
    return f"{question.at_s:.1f} s", question.question, question.answer, question.expected, tick, first


def _alerts(state: State) -> RenderableType:
    lines = [alert_line(alert) for alert in state.alerts[-6:]]
    return Text("\n".join(lines) or "none yet", style="" if lines else "dim")


def alert_line(alert: dict[str, object]) -> str:
    """One alert in one line."""
    event = alert["event"]
    assert isinstance(event, dict)
    after = event["after"]
    return f"{alert['received_s']:6.2f} s  {alert['topic']}  {event['type']:<6} {after['label']}  score {after['score']:.2f}  {after['id']}"


def save_picture(state: State, path: Path) -> None:
    """The page as an SVG, for those who were not there."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(draw(state))
    console.save_svg(str(path), title="ov2 demo")


def summary(state: State, console: Console) -> None:
    """What is left on the screen at the end."""
    table = Table(title=f"OV2 Live demo, seed {state.seed}: {state.num_correct} of {len(state.questions)} answers right")
    for name in ("at", "question", "answer", "truth", "", "first token"):
        table.add_column(name)
    for question in state.questions:
        table.add_row(*_cells(question), style="green" if question.correct else "red")
    console.print(table)
    news = sum(1 for alert in state.alerts if alert["event"]["type"] == "new")
    console.print(
        f"{state.num_groups} groups, {_rate(state)} on average, {news} boundary alerts, "
        f"{len(state.errors)} errors; latest canvases: {state.picture or '-'}"
    )
    for error in state.errors:
        console.print(f"[red]{error}[/red]")

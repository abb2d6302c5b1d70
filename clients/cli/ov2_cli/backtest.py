"""A watch over a recording, shown: a table of what it would have told, a picture of every beginning, a plot of every judgement.

In: a watch, a recording. Out: a report as a dict, files in a folder.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.camera.backtest import Judged
    from stream.units import Packet
    from stream.watch import WatchSettings


def back_test(
    camera: str, settings: WatchSettings, recording: Path, *, model: str, every_s: float, out: Path, quiet: bool
) -> dict[str, Any]:
    """Raises `SourceError` where the recording cannot be read, `CheckpointError` for the model."""
    from rich.console import Console
    from rich.progress import Progress

    from stream.camera.backtest import BackTest
    from stream.config.configuration import ModelSettings
    from stream.serve.run import load_model

    console = Console(stderr=True, quiet=quiet)
    test = BackTest(load_model(ModelSettings(path=model)), camera, {"watch": settings}, every_s=every_s)
    out.mkdir(parents=True, exist_ok=True)
    judged: list[Judged] = []
    events: list[dict[str, Any]] = []
    with ExitStack() as stack, Progress(console=console, transient=True) as progress:
        packets = _recorded(recording, stack)
        task = progress.add_task("judging", total=None)
        for one in test.run(packets):
            judged.append(one)
            progress.update(task, description=f"judging, {one.media_s:.0f} s", advance=1)
            for change in one.changes:
                _note(events, change.type, one, out)
    report = {
        "camera": camera,
        "sentence": settings.sentence,
        "seconds": round(judged[-1].media_s, 3) if judged else 0.0,
        "judgements": len(judged),
        "events": events,
    }
    plot = _plot(judged, events, settings, out / "watch.png") if judged else None
    _print(console, report, plot)
    return report


def _recorded(recording: Path, stack: ExitStack) -> Iterable[Packet]:
    """A packet log is a folder; anything else is a video file."""
    if recording.is_dir():
        from stream.packetlog import PacketLog

        return PacketLog(recording).packets()
    from stream.sources import open_source

    return stack.enter_context(open_source(str(recording)))


def _note(events: list[dict[str, Any]], kind: str, one: Judged, out: Path) -> None:
    """Keep the beginning, the best score and the end of each event."""
    event = one.changes[-1].after
    if kind == "new":
        zero_s = event.frame_time + event.frame_age_ms / 1000 - one.media_s
        picture = out / f"event-{len(events) + 1:03d}.jpg"
        begun = {"id": event.id, "start_s": round(event.start_time - zero_s, 3), "told_s": round(one.media_s, 3)}
        events.append({**begun, "end_s": None, "top_score": event.top_score, "picture": None, "wall_start": event.start_time})
        if one.picture is not None:
            picture.write_bytes(one.picture)
            events[-1]["picture"] = str(picture)
    elif events:
        events[-1]["top_score"] = max(events[-1]["top_score"], event.top_score)
        if kind == "end" and event.end_time is not None:
            events[-1]["end_s"] = round(events[-1]["start_s"] + event.end_time - event.start_time, 3)


def _plot(judged: list[Judged], events: list[dict[str, Any]], settings: WatchSettings, path: Path) -> Path:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 3), layout="constrained")
    axes.plot([one.media_s for one in judged], [one.probability for one in judged], color="#1f5fa8", linewidth=1.2)
    axes.axhline(settings.threshold, color="#c0392b", linewidth=0.8, linestyle="--", label="threshold")
    axes.axhline(settings.release, color="#7f8c8d", linewidth=0.8, linestyle=":", label="release")
    for event in events:
        axes.axvspan(event["start_s"], event["end_s"] or judged[-1].media_s, color="#f5b041", alpha=0.35)
        axes.axvline(event["told_s"], color="#c0392b", linewidth=1.0)
    axes.set(xlabel="seconds of the recording", ylabel="probability", ylim=(-0.02, 1.02), title=settings.sentence)
    axes.legend(loc="center right", frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _print(console: Any, report: dict[str, Any], plot: Path | None) -> None:
    from rich.table import Table

    told = len(report["events"])
    table = Table(title=f"{report['sentence']}  ({told} events in {report['seconds']:.0f} s of {report['camera']})")
    for title in ("begins", "told", "ends", "best score", "picture"):
        table.add_column(title, justify="left" if title == "picture" else "right")
    for event in report["events"]:
        end = "-" if event["end_s"] is None else f"{event['end_s']:.1f} s"
        row = (f"{event['start_s']:.1f} s", f"{event['told_s']:.1f} s", end, f"{event['top_score']:.0%}")
        table.add_row(*row, event["picture"] or "")
    console.print(table)
    if plot is not None:
        console.print(f"every judgement: {plot}")

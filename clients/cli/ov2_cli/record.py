"""`ov2 record`: cameras' packets to disk, as they come.

In: a URL, or the configuration file of `ov2 serve`. Out: a packet log per camera, one line of progress; exit code 1 when nothing came.
"""

from __future__ import annotations

import json
import math
import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stream.packetlog import PacketLogSettings
    from stream.packetlog.record_source import Recording

SHOW_EVERY_S = 0.5
CONFIG_SUFFIXES = (".yaml", ".yml")
GIB = 1 << 30


def record(
    source: Annotated[str, typer.Argument(help="A URL or file as for `ov2 tokenize`, or a configuration (.yaml).")],
    out: Annotated[Path, typer.Option(help="The log's folder; with a configuration, a folder per camera in it.")],
    seconds: Annotated[float | None, typer.Option(min=0.0, help="Stop after so many seconds of video.")] = None,
    max_gb: Annotated[float, typer.Option(help="Most GiB per camera; the oldest minutes go first.")] = 2.0,
    max_hours: Annotated[float | None, typer.Option(help="Keep nothing that was written longer ago.")] = None,
    camera: Annotated[list[str] | None, typer.Option(help="Of a configuration, record this camera alone.")] = None,
    timeout_s: Annotated[float, typer.Option(help="Seconds to wait for a camera.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="In the end, one JSON line per camera.")] = False,
) -> None:
    """Record packets, crash-safe and within bounds, until Ctrl-C; `ov2 replay` and `ov2 clip` read them."""
    from stream.packetlog import PacketLogSettings

    if not math.isfinite(max_gb):
        raise typer.BadParameter(f"--max-gb: expected a number, got {max_gb}")
    settings = PacketLogSettings(max_bytes=int(max_gb * GIB), max_age_s=None if max_hours is None else 3600 * max_hours)
    recordings = _recordings(source, out, settings, camera or [], timeout_s, seconds)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    for each in recordings:
        each.start()
    _watch(recordings, stopping, quiet=as_json)
    for each in recordings:
        each.end()
    for each in recordings:
        each.join()
        typer.echo(json.dumps(_summary(each)) if as_json else _told(_summary(each)))
    if not all(each.writer.num_packets for each in recordings):
        raise typer.Exit(1)


def _recordings(
    source: str, out: Path, settings: PacketLogSettings, names: list[str], timeout_s: float, seconds: float | None
) -> list[Recording]:
    from stream.packetlog.record_source import Recording

    if not source.endswith(CONFIG_SUFFIXES):
        return [Recording(out.resolve().name, source, out, settings, timeout_s=timeout_s, seconds=seconds)]
    from stream.config.configuration import load

    config = load(Path(source))
    cameras = {name: each for name, each in config.cameras.items() if each.enabled}
    if unknown := [name for name in names if name not in cameras]:
        raise typer.BadParameter(f"--camera: expected one of {', '.join(cameras)}, got {unknown[0]}")
    return [
        Recording(
            name,
            each.url,
            out / name,
            settings,
            listen=each.listen,
            timeout_s=each.timeout_s,
            seconds=seconds,
            limits=config.ingest.limits(),
        )
        for name, each in cameras.items()
        if not names or name in names
    ]


def _watch(recordings: list[Recording], stopping: threading.Event, *, quiet: bool) -> None:
    """Until all have ended or the user has seen enough."""
    from rich.console import Console

    console = Console(stderr=True)
    shows = console.is_terminal and not quiet
    with console.status("connecting") if shows else nullcontext() as status:
        while not all(each.is_done for each in recordings) and not stopping.wait(SHOW_EVERY_S):
            if status is not None:
                status.update("   ".join(_progress(each) for each in recordings))


def _progress(recording: Recording) -> str:
    latest, writer = recording.latest, recording.writer
    if latest is None:
        return f"{recording.name}: {recording.error or 'connecting'}"
    return (
        f"{recording.name}: {latest.media_s:.0f} s  {writer.num_packets} packets  {writer.num_bytes / 2**20:.1f} MiB"
        f"  {latest.width}x{latest.height} {latest.codec}  {sum(recording.drops().values())} dropped"
        + (f"  {recording.error}" if recording.error else "")
    )


def _summary(recording: Recording) -> dict[str, Any]:
    from stream.packetlog import PacketLog

    covers = PacketLog(recording.writer.folder).range()
    return {
        "camera": recording.name,
        "folder": str(recording.writer.folder),
        "packets": recording.writer.num_packets,
        "drops": recording.drops(),
        "log": None if covers is None else covers._asdict(),
        "error": recording.error,
    }


def _told(summary: dict[str, Any]) -> str:
    covers = summary["log"] or {"num_bytes": 0, "num_segments": 0}
    return (
        f"{summary['camera']}: {summary['packets']} packets recorded; {summary['folder']} holds "
        f"{covers['num_bytes'] / 2**20:.1f} MiB in {covers['num_segments']} segments"
        + (f"; dropped {summary['drops']}" if summary["drops"] else "")
        + (f"; {summary['error']}" if summary["error"] else "")
    )

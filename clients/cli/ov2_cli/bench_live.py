"""`ov2 bench chaos`, `faults`, `attack` and `cameras`: the real service, real cameras, this machine.

In: flags. Out: a summary, files in a folder, and with --json one JSON object as the last line of standard output.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

SIZE = re.compile(r"(\d+)x(\d+)")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Model = Annotated[str, typer.Option(help="Checkpoint.")]


def chaos(
    seed: Annotated[int, typer.Option(help="Draws what happens to whom.")] = 1,
    minutes: Annotated[float, typer.Option(help="How long faults are injected into cameras.", min=0.1)] = 10.0,
    quiet_s: Annotated[float, typer.Option(help="Seconds before the first fault, to compare with.", min=10.0)] = 60.0,
    model: Model = "ov2-nano",
    out: Annotated[Path, typer.Option(help="Folder for films, the service's log and the picture.")] = Path("runs/bench-chaos"),
    as_json: Json = False,
) -> None:
    """Eight cameras are killed, stalled, half-closed, slowed, cut and moved in time: do they all come back?"""
    import asyncio

    from ov2_bench.chaos.plot import save_timeline
    from ov2_bench.chaos.run import ChaosSettings, run_chaos
    from ov2_bench.chaos.screen import show, tell
    from ov2_bench.chaos.verdict import found_wrong, verdict
    from rich.console import Console

    console = Console(stderr=True)
    settings = ChaosSettings(seed=seed, chaos_s=60 * minutes, quiet_s=quiet_s, out=out, model=model)
    run = asyncio.run(run_chaos(settings, lambda run: show(run, console)))
    result = verdict(run)
    save_timeline(run, out / "chaos.png")
    tell(result, console)
    console.print(f"picture and log: {out}")
    if as_json:
        print(json.dumps(result))
    raise typer.Exit(int(found_wrong(result)))


def faults(
    seed: Annotated[int, typer.Option(help="Draws what breaks and when.")] = 1,
    minutes: Annotated[float, typer.Option(help="How long things break.", min=0.1)] = 10.0,
    journal: Annotated[Literal["sqlite", "redis"], typer.Option(help="Where events are written first.")] = "sqlite",
    model: Model = "ov2-nano",
    out: Annotated[Path, typer.Option(help="Folder for films, logs and data.")] = Path("runs/bench-faults"),
    as_json: Json = False,
) -> None:
    """Mosquitto, Redis and the service are killed, the disk is full, the clock moved: does every event arrive, once, in order?"""
    import asyncio

    from ov2_bench.faults.run import run_faults
    from ov2_bench.faults.screen import show, tell
    from ov2_bench.faults.testbed import FaultSettings
    from ov2_bench.faults.verdict import broken_promises, verdict
    from rich.console import Console

    console = Console(stderr=True)
    settings = FaultSettings(seed=seed, faults_s=60 * minutes, out=out, journal=journal, model=model)
    run = asyncio.run(run_faults(settings, lambda run: show(run, console)))
    result = verdict(run)
    tell(run, result, console)
    console.print(f"logs: {out}")
    if as_json:
        print(json.dumps(result))
    raise typer.Exit(int(bool(broken_promises(result))))


def attack(
    seed: Annotated[int, typer.Option(help="Draws what is tried, and in which order.")] = 1,
    minutes: Annotated[float, typer.Option(help="How long the service is attacked.", min=0.1)] = 10.0,
    model: Model = "ov2-nano",
    out: Annotated[Path, typer.Option(help="Folder for films, logs and data.")] = Path("runs/bench-attack"),
    plot: Annotated[Path | None, typer.Option(help="A picture (PNG) of memory, stalls and descriptors.")] = None,
    as_json: Json = False,
) -> None:
    """Nobody can knock it over: a service of its own is attacked from all sides; does it stand, and answer honest questions?"""
    import asyncio

    from ov2_bench.attack.plot import save_siege
    from ov2_bench.attack.run import CASES_A_MINUTE, AttackSettings, run_attack
    from ov2_bench.attack.screen import show, tell
    from ov2_bench.attack.verdict import broken_promises, verdict
    from rich.console import Console

    console = Console(stderr=True)
    settings = AttackSettings(seed=seed, attack_s=60 * minutes, out=out, cases=round(CASES_A_MINUTE * minutes), model=model)
    run = asyncio.run(run_attack(settings, lambda run: show(run, console)))
    result = verdict(run)
    if plot is not None:
        save_siege(run, plot)
    (out / "tracebacks.txt").write_text("\n\n".join(f"{attack}\n{text}" for attack, text in run.tracebacks), encoding="utf-8")
    tell(result, console)
    console.print(f"logs: {out}")
    if as_json:
        print(json.dumps(result))
    raise typer.Exit(int(bool(broken_promises(result))))


def cameras(
    count: Annotated[int, typer.Option(help="Cameras at once.", min=1)] = 16,
    minutes: Annotated[float, typer.Option(help="How long they are watched.", min=0.1)] = 5.0,
    size: Annotated[str, typer.Option(help="Picture size, WIDTHxHEIGHT.")] = "640x360",
    fps: Annotated[int, typer.Option(help="Pictures per second.", min=1, max=60)] = 15,
    token_rate: Annotated[float, typer.Option(help="LLM tokens per second of a camera.", min=0.1)] = 8.0,
    duty: Annotated[
        int | None, typer.Option(help="Percent of the time with activity; default: a busy yard.", min=0, max=100)
    ] = None,
    model: Model = "ov2-nano",
    setting: Annotated[list[str] | None, typer.Option("--set", help="A tokenizer setting, KEY=VALUE.")] = None,
    table: Annotated[bool, typer.Option("--table", help="A short run for each of several sizes and rates instead.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for films and the service's log.")] = Path("runs/bench-cameras"),
    as_json: Json = False,
) -> None:
    """Live RTSP cameras on this machine: drops, frame age, cores per camera beside plain decoding."""
    import asyncio

    from ov2_bench.cameras import Load, bench_cameras, bench_table, markdown
    from rich.console import Console

    from ov2_cli.group_lines import assignments

    width, height = size_of(size)
    tokenizer = assignments(setting or [])
    with Console(stderr=True).status("starting") as status:
        if table:
            rows = asyncio.run(
                bench_table(
                    60 * minutes, out, status.update, token_rate=token_rate, model=model, duty=duty, tokenizer=tokenizer
                )
            )
        else:
            load = Load(
                count=count, seconds=60 * minutes, width=width, height=height, fps=fps, out=out,
                token_rate=token_rate, model=model, duty=duty, tokenizer=tokenizer,
            )  # fmt: skip
            rows = [asyncio.run(bench_cameras(load, status.update))]
    for row in rows:
        for name, value in row.items():
            typer.echo(f"  {name:<24} {value}")
    if table:
        typer.echo(markdown(rows))
    if as_json:
        print(json.dumps({"rows": rows} if table else rows[0]))


def size_of(text: str) -> tuple[int, int]:
    """Width and height of WIDTHxHEIGHT."""
    found = SIZE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"expected WIDTHxHEIGHT, for example 640x360, got {text}", param_hint="--size")
    return int(found[1]), int(found[2])

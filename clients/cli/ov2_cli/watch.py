"""`ov2 watch`: sentences to be told about.

In: a running service, or a recording. Out: watches made, listed, removed; and what one would have told of a recorded stream, with pictures,
before it is armed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ov2_cli.address import LOCAL, Server, Token

app = typer.Typer(help="Watch for sentences, and try them on recordings first.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")]
Sentence = Annotated[str, typer.Argument(help="What to watch for, in your words, or a yes/no question.")]
Threshold = Annotated[float | None, typer.Option(help="Probability from which it holds.")]
Release = Annotated[float | None, typer.Option(help="Probability down to which it holds no longer.")]
Confirm = Annotated[int | None, typer.Option(help="Judgements in a row that must agree.")]
Zone = Annotated[
    list[str] | None, typer.Option(help='A polygon to look at, "x,y x,y x,y" from 0 to 1; may be given several times.')
]


@app.command()
def add(
    camera: Annotated[str, typer.Argument(help="A camera of the service.")],
    name: Annotated[str, typer.Argument(help="Short name, a part of MQTT topics: small letters, digits, - and _.")],
    sentence: Sentence,
    threshold: Threshold = None,
    release: Release = None,
    confirm: Confirm = None,
    min_duration_s: Annotated[float | None, typer.Option("--min-duration", help="Seconds that it must hold.")] = None,
    cool_down_s: Annotated[float | None, typer.Option("--cool-down", help="Seconds from one event to the next.")] = None,
    schedule: Annotated[
        list[str] | None, typer.Option(help='When it is armed: "mon-fri 08:00-18:00"; may be given several times.')
    ] = None,
    zone: Zone = None,
    severity: Annotated[str | None, typer.Option(help="alert or detection.")] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Keep it, and do not judge it.")] = False,
    server: Server = LOCAL,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Make a watch, or change the one of that name. It is kept in the service's data folder."""
    import dataclasses

    from ov2_client import Client

    settings = _given(
        threshold=threshold,
        release=release,
        confirm=confirm,
        min_duration_s=min_duration_s,
        cool_down_s=cool_down_s,
        schedule=schedule,
        zone=_polygons(zone),
        severity=severity,
    )
    with Client(server, token=token) as client:
        made = client.put_watch(camera, name, sentence=sentence, enabled=not disabled, **settings)
    typer.echo(json.dumps(dataclasses.asdict(made)) if as_json else f"{camera}/{name}: {made.settings['sentence']}")


@app.command(name="list")
def list_(
    camera: Annotated[str | None, typer.Argument(help="A camera of the service; all when left out.")] = None,
    server: Server = LOCAL,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """All watches, and what each of them says now."""
    import dataclasses

    from ov2_client import Client
    from rich.console import Console
    from rich.table import Table

    with Client(server, token=token) as client:
        watches = client.watches(camera)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(watch) for watch in watches]))
        return
    table = Table()
    for title in ("camera", "watch", "sentence", "now", "probability", ""):
        table.add_column(title, justify="right" if title == "probability" else "left")
    for watch in watches:
        chance = "-" if watch.probability is None else f"{watch.probability:.0%}"
        state = watch.state.upper() if watch.settings.get("enabled", True) else "disabled"
        table.add_row(watch.camera, watch.name, watch.settings["sentence"], state, chance, watch.problem or "")
    Console().print(table)


@app.command()
def remove(
    camera: Annotated[str, typer.Argument(help="A camera of the service.")],
    name: Annotated[str, typer.Argument(help="The watch.")],
    server: Server = LOCAL,
    token: Token = None,
) -> None:
    """Remove a watch; an event of it that is under way ends."""
    from ov2_client import Client

    with Client(server, token=token) as client:
        client.remove_watch(camera, name)
    typer.echo(f"{camera}/{name}: removed")


@app.command(name="test")
def try_out(
    camera: Annotated[str, typer.Argument(help="The camera that was recorded; a name for the report.")],
    sentence: Sentence,
    log: Annotated[Path, typer.Option(help="A packet log (`ov2 record`), or a video file.")],
    threshold: Threshold = None,
    release: Release = None,
    confirm: Confirm = None,
    zone: Zone = None,
    every_s: Annotated[float, typer.Option("--every", help="Seconds of the recording from one judgement to the next.")] = 0.5,
    model: Annotated[str, typer.Option(help="Checkpoint: a bundled name or a folder.")] = "ov2-nano",
    out: Annotated[Path, typer.Option(help="Folder for pictures and the plot.")] = Path("runs/watch-test"),
    as_json: Json = False,
) -> None:
    """When would it have told? Runs the watch over a recording, with a picture of every beginning."""
    from pydantic import ValidationError

    from ov2_cli.backtest import back_test
    from stream.errors import SettingsError
    from stream.watch import WatchSettings

    given = _given(threshold=threshold, release=release, confirm=confirm, zone=_polygons(zone))
    try:
        settings = WatchSettings(sentence=sentence, **given)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise SettingsError(f"watch: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    report = back_test(camera, settings, log, model=model, every_s=every_s, out=out, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(report))


def _given(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _polygons(zone: list[str] | None) -> list[list[list[float]]] | None:
    """Raises `typer.BadParameter` for what is no list of corners."""
    try:
        return None if not zone else [[[float(part) for part in corner.split(",")] for corner in one.split()] for one in zone]
    except ValueError:
        raise typer.BadParameter('expected corners like "0,0 0.5,0 0.5,1"', param_hint="--zone") from None

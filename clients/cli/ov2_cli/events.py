"""`ov2 events`: what the service's journal holds, and what comes.

In: a camera, a kind, a time. Out: one line per entry on standard output, or one JSON object per line.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ov2_cli.address import LOCAL, Server, Token

if TYPE_CHECKING:
    from ov2_client import Client, JournalEntry

UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
PAGE = 500


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    camera: Annotated[str | None, typer.Option(help="Of this camera alone.")] = None,
    kind: Annotated[str | None, typer.Option(help="boundary, watch, question, answer or dropped.")] = None,
    since: Annotated[str | None, typer.Option(help="30m, 2h, 7d ago; or 2026-01-31T18:00; or epoch seconds.")] = None,
    until: Annotated[str | None, typer.Option(help="The same, for the end.")] = None,
    limit: Annotated[int, typer.Option(help="Newest entries shown, where --since is not given.", min=1, max=1000)] = 20,
    server: Server = LOCAL,
    token: Token = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line, nothing else.")] = False,
) -> None:
    """List events, questions and answers of the running service, and follow them."""
    from ov2_client import Client

    wanted = {"camera": camera, "kind": kind}
    times = {"since": since and moment(since, "--since"), "until": until and moment(until, "--until")}
    with Client(server, token=token) as client:
        last = 0
        for entry in _past(client, {**wanted, **times}, None if since else limit):
            _tell(entry, as_json)
            last = entry.position
        if follow:
            for entry in client.follow(**wanted, after=last or None):
                _tell(entry, as_json)


def moment(text: str, flag: str) -> float:
    """UTC epoch seconds of `90s`, `30m`, `2h`, `7d` ago, an ISO 8601 time (here without a zone), or epoch seconds."""
    if ago := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text):
        return time.time() - float(ago[1]) * UNIT_S[ago[2]]
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise typer.BadParameter(
            f"expected 30m, 2h, 7d, a time like 2026-01-31T18:00 or epoch seconds, got {text[:40]!r}", param_hint=flag
        ) from None


def _past(client: Client, wanted: dict[str, Any], newest: int | None) -> list[JournalEntry]:
    """The newest few, or all of a time range; oldest first."""
    if newest is not None:
        return list(reversed(client.events(**wanted, order="newest", limit=newest).entries))
    found: list[JournalEntry] = []
    after: int | None = None
    while True:
        page = client.events(**wanted, limit=PAGE, after=after)
        found += page.entries
        after = page.next
        if after is None:
            return found


def _tell(entry: JournalEntry, as_json: bool) -> None:
    import dataclasses

    typer.echo(json.dumps(dataclasses.asdict(entry)) if as_json else line(entry))


def line(entry: JournalEntry) -> str:
    """Local time, camera, kind, and what it says."""
    when = datetime.fromtimestamp(entry.time, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return f"{when}  {entry.camera or '-':<12} {entry.kind:<9} {_said(entry)}"


def _said(entry: JournalEntry) -> str:
    body = entry.body
    match entry.kind:
        case "question":
            said = str(body.get("question"))
        case "answer":
            said = str(body.get("answer") or body.get("error", {}).get("message"))
        case "dropped":
            said = f"{body.get('number')} entries for {body.get('where')}: {body.get('why')}"
        case _:
            after = body.get("after", {})
            said = f"{body.get('type'):<6} {after.get('watch') or after.get('label')} {after.get('caption') or ''}"
    return "".join(character if character.isprintable() else " " for character in said).strip()

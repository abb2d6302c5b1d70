"""`ov2 ask`: one question, to a camera of a running service or straight to a file or camera.

In: a camera's name, or a URL or path; a question. Out: the answer on standard output as it is written, its evidence below.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ov2_cli.address import LOCAL, Token


def ask(
    source: Annotated[str, typer.Argument(metavar="URL_OR_CAMERA", help="A camera of the service, or rtsp://..., or a file.")],
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    server: Annotated[str, typer.Option(help="The running service, for a camera's name.")] = LOCAL,
    token: Token = None,
    seconds: Annotated[
        float | None, typer.Option(help="How long to watch a URL first. Default: a file whole, a camera 10 s.")
    ] = None,
    model: Annotated[str, typer.Option(help="Checkpoint for a URL: a folder, or a bundled name.")] = "ov2-nano",
    max_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest word each time.")] = 0.0,
    since: Annotated[str | None, typer.Option(help="Look no further back than -10m, an ISO time, or epoch seconds.")] = None,
    until: Annotated[str | None, typer.Option(help="Look at nothing later, given like --since.")] = None,
    recall: Annotated[str, typer.Option(help="auto, window (never look back), or memory (whatever it names).")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as one JSON object, nothing else.")] = False,
) -> None:
    """Ask a camera of the running service by name, or open a URL or file and ask it."""
    if is_source(source):
        if since is not None or until is not None:
            raise typer.BadParameter("expected a camera of the service: a URL has no past", param_hint="--since, --until")
        parts = _from_source(source, question, seconds, model, max_tokens, temperature)
    else:
        given = {"max_tokens": max_tokens, "temperature": temperature, "since": since, "until": until, "recall": recall}
        parts = _from_service(
            source, question, server, token, {name: value for name, value in given.items() if value is not None}
        )
    for part in parts:
        if isinstance(part, str) and not as_json:
            typer.echo(part, nl=False)
        elif isinstance(part, dict):
            typer.echo(json.dumps(part) if as_json else "\n" + _evidence(part))


def is_source(text: str) -> bool:
    """Whether `text` names something to open, rather than a camera of the service."""
    return "://" in text or "/" in text or "." in text or Path(text).is_file()


def _from_service(
    camera: str, question: str, server: str, token: str | None, given: dict[str, Any]
) -> Iterator[str | dict[str, Any]]:
    import dataclasses

    from ov2_client import Client, Token

    with Client(server, token=token) as client:
        for part in client.ask(camera, question, **given):
            yield part.text if isinstance(part, Token) else dataclasses.asdict(part)


def _from_source(
    url: str, question: str, seconds: float | None, model: str, max_tokens: int, temperature: float
) -> Iterator[str | dict[str, Any]]:
    from ov2.sampling import Sampling
    from stream.camera.once import ask_source
    from stream.config.configuration import ModelSettings
    from stream.serve.run import load_model

    sampling = Sampling(max_tokens=max_tokens, temperature=temperature)
    for part in ask_source(load_model(ModelSettings(path=model)), url, question, seconds=seconds, sampling=sampling):
        yield part if isinstance(part, str) else part.model_dump()


def _evidence(answer: dict[str, Any]) -> str:
    window, timings = answer["window"], answer["timings"]
    frames = sum(span["frames"] for span in answer["evidence"])
    recall = answer.get("recall")
    looked = f"\nlooked back: {_local(recall['since'])} to {_local(recall['until'])}: {recall['why']}" if recall else ""
    if not answer["evidence"]:
        return f"nothing was read{looked}"
    if recall:
        spans = ", ".join(f"{_local(span['start'])} to {_local(span['end'])}" for span in answer["evidence"])
        looked += f"\nread: {spans}"
    return (
        f"seen: {window['start_s'] - window['zero_s']:.1f}-{window['end_s'] - window['zero_s']:.1f} s, {frames} frames, "
        f"newest {answer['frame_age_ms']:.0f} ms old; first token after {timings['first_token_ms']:.0f} ms{looked}"
    )


def _local(epoch_s: float) -> str:
    """Local time, to the second."""
    from datetime import datetime

    return datetime.fromtimestamp(epoch_s).isoformat(sep=" ", timespec="seconds")

"""`ov2 serve`: watch the cameras of a configuration file and answer over HTTP.

In: flags. Out: a running service; exit status 0 after SIGTERM or SIGINT, 1 when the model's thread died. What cannot
start raises.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def serve(
    config: Annotated[Path, typer.Option("--config", "-c", help="YAML file with a `cameras:` map.")],
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of server.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, instead of server.port; 0 finds a free one.")] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Write one JSON line (HTTP and MQTT addresses) here once the service answers; - is stdout."),
    ] = None,
    log_level: Annotated[Literal["debug", "info", "warning", "error"], typer.Option(help="Least that is logged.")] = "info",
) -> None:
    """Watch cameras, answer questions over HTTP, publish alerts over MQTT."""
    from stream.config.configuration import load
    from stream.serve.run import serve as run
    from stream.serve.run import write_ready

    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    settings = load(config).listening_on(host, port)
    status = run(settings, ready=lambda line: write_ready(ready_file, line))
    # Everything is stopped and told. Taking the interpreter down would visit every page of torch (seconds on a busy machine)
    # and could wait for a camera's thread that hangs in an open; a supervisor wants the exit now.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)

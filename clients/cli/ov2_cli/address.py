"""How commands that ask a running service are told where it is, and who asks."""

from __future__ import annotations

from typing import Annotated

import typer

LOCAL = "http://127.0.0.1:8710"
Server = Annotated[str, typer.Option(help="The running service.")]
Token = Annotated[str | None, typer.Option(envvar="OV2_TOKEN", help="One of the service's server.tokens.")]

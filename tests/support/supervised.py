"""A camera's supervisor over a real reader process. No test in here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stream.sources import Backoff, CameraState, Mailbox, StateMachine, Supervisor, parse_address
from stream.sources.connection import Connector
from stream.sources.readerprocess import ReaderConnector
from stream.sources.timekeeper import Timekeeper
from stream.sources.wallclock import Live, Recorded

WAIT_S = 60.0
QUICK = {"first_s": 0.01, "longest_s": 0.05}


def reader(url: str, *, timeout_s: float = WAIT_S, **options: Any) -> ReaderConnector:
    address = parse_address(url)
    return ReaderConnector(address, {"listen": address.kind == "listen", **options}, timeout_s=timeout_s)


@contextmanager
def supervised(
    url: str, *, timeout_s: float = WAIT_S, connector: Connector | None = None, states: StateMachine | None = None, **more: Any
) -> Iterator[Supervisor]:
    """Started with quick pauses, and stopped in the end."""
    address = parse_address(url)
    camera = Supervisor(
        connector or reader(url, timeout_s=timeout_s),
        Mailbox(),
        Timekeeper(Live() if address.is_live else Recorded(1000.0)),
        states or StateMachine(CameraState.CONNECTING),
        name="camera front",
        **{"backoff": Backoff(**QUICK), **more},
    )
    camera.start()
    try:
        yield camera
    finally:
        assert camera.join(WAIT_S)

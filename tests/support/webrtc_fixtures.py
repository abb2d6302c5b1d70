"""Fixtures that start WebRTC servers, publishers, viewers and readers, and close them. No test in here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Protocol, TypeVar

import pytest
from webrtc_peers import Publisher, Watcher
from webrtc_server import Reader, Server


class Closing(Protocol):
    def close(self) -> None: ...


Made = TypeVar("Made", bound=Closing)


def started(make: Callable[..., Made]) -> Iterator[Callable[..., Made]]:
    """For a fixture: what makes them; all that were made are closed in the end."""
    running: list[Made] = []

    def start(*given: Any, **more: Any) -> Made:
        running.append(make(*given, **more))
        return running[-1]

    with ExitStack() as ending:  # all of them, though one should fail to
        yield start
        for one in reversed(running):
            ending.callback(one.close)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers: `serve(max_publishers=1)`."""
    yield from started(Server)


@pytest.fixture
def publisher() -> Iterator[Callable[..., Publisher]]:
    """aiortc clients."""
    yield from started(Publisher)


@pytest.fixture
def watcher() -> Iterator[Callable[..., Watcher]]:
    """aiortc viewers."""
    yield from started(Watcher)


@pytest.fixture
def reader() -> Iterator[Callable[..., Reader]]:
    """Readers of doors."""
    yield from started(Reader)

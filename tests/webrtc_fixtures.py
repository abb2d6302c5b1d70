"""Fixtures that start WebRTC servers, publishers, viewers and readers, and close them. No test in here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from webrtc_peers import Publisher, Watcher
from webrtc_server import Reader, Server


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers: `serve(max_publishers=1)`; all are stopped in the end."""
    started: list[Server] = []

    def start(*given: Any, **more: Any) -> Server:
        started.append(Server(*given, **more))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def publisher() -> Iterator[Callable[..., Publisher]]:
    """aiortc clients, closed in the end."""
    started: list[Publisher] = []

    def start(*given: Any, **more: Any) -> Publisher:
        started.append(Publisher(*given, **more))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def watcher() -> Iterator[Callable[..., Watcher]]:
    """aiortc viewers, closed in the end."""
    started: list[Watcher] = []

    def start(*given: Any, **more: Any) -> Watcher:
        started.append(Watcher(*given, **more))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def reader() -> Iterator[Callable[..., Reader]]:
    """Readers of doors. Their servers must be closed first, or their doors."""
    started: list[Reader] = []

    def start(*given: Any, **more: Any) -> Reader:
        started.append(Reader(*given, **more))
        return started[-1]

    yield start
    for one in started:
        one._door.close()
        one.join()

"""A WHIP and WHEP sessions behind its real HTTP server, and what a camera's supervisor does with it. No test in here."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import Future
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from waiting import until

from stream.errors import SourceError
from stream.serve.bearer import BearerGuard
from stream.sources.limits import IngestLimits
from stream.sources.sample import Sample
from stream.sources.timekeeper import Timekeeper
from stream.sources.wallclock import Live
from stream.webrtc.routes import webrtc_routes
from stream.webrtc.sessions import WebRtcSessions
from stream.webrtc.settings import WebRtcSettings

WAIT_S = 60.0
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


class Loop:
    """An event loop in a thread of its own; `run` waits for a coroutine from outside."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def start(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Any) -> Any:
        return self.start(coroutine).result(WAIT_S)

    def close(self, patience_s: float = 5.0) -> None:
        """Tasks that are left must end by themselves in so many seconds, else this raises `TimeoutError`; 0 cancels them."""
        try:
            self.run(_finish_tasks(patience_s))
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(WAIT_S)
            self.loop.close()


async def _finish_tasks(patience_s: float) -> None:
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if not patience_s:
        for task in left:
            task.cancel()
    _, pending = await asyncio.wait(left, timeout=patience_s or 5.0) if left else ((), set())
    if pending:
        raise TimeoutError(f"expected these tasks to end by themselves: {pending}")


class Server:
    """The sessions with its routes on a free port. `door` names cameras that are published to, `view` others."""

    def __init__(
        self,
        doors: tuple[str, ...] = ("phone",),
        views: tuple[str, ...] = ("yard",),
        tokens: tuple[str, ...] = (),
        limits: IngestLimits | None = None,
        **given: Any,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.sessions = WebRtcSessions(WebRtcSettings(**given), limits=limits, refused=self.refused)
        for name in doors:
            self.sessions.door(name)
        for name in (*doors, *views):
            self.sessions.view(name)
        app = FastAPI()
        app.add_middleware(BearerGuard, tokens=[SecretStr(token) for token in tokens], refused=self.refused)
        app.include_router(webrtc_routes(self.sessions))
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        self.loop = Loop()
        self._serving = self.loop.start(self._server.serve())
        until(lambda: self._server.started)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, timeout=WAIT_S, **more)

    def post(self, path: str, body: str | bytes = b"", **headers: str) -> httpx.Response:
        return self.request(
            "POST", path, content=body, headers={**SDP, **{key.replace("_", "-"): text for key, text in headers.items()}}
        )

    def close(self) -> None:
        self.loop.run(self.sessions.close())
        self._server.should_exit = True
        self._serving.result(WAIT_S)
        self.loop.close()


class Reader:
    """What a camera's supervisor does, reduced: connects again and again, keeps what comes and shows it to those who watch."""

    def __init__(self, server: Server, name: str = "phone") -> None:
        self.samples: list[Sample] = []
        self.ends: list[str] = []
        self.num_connections = 0
        self.skipped: Counter[str] = Counter()
        self._view = server.sessions.view(name)
        self._times = Timekeeper(Live())
        self._door = server.sessions.door(name)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                connection = self._door.connect()
            except TimeoutError:
                continue
            except SourceError:
                return
            self.num_connections += 1
            try:
                while (sample := connection.get(WAIT_S)) is not None:
                    self.samples.append(sample)
                    self._view.push(self._times.packet(sample))
                self.ends.append("")
            except (SourceError, TimeoutError) as error:
                self.ends.append(str(error))
            self.skipped = connection.skipped
            self._times.reconnect(0.5)
            connection.close()

    def wait(self, num_samples: int) -> list[Sample]:
        """At least so many samples, counted from the beginning."""
        until(lambda: len(self.samples) >= num_samples)
        return list(self.samples)

    def close(self) -> None:
        self._door.close()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

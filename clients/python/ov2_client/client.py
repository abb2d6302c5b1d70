"""The client for programs without an event loop.

In: the address of a service. Out: cameras, and answers that stream. The asyncio one is its twin in async_client.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from ov2_client import exchange
from ov2_client.errors import ProtocolError
from ov2_client.wire import (
    Answer,
    CameraStatus,
    EventReader,
    JournalEntry,
    JournalPage,
    Timeline,
    Token,
    WatchStatus,
    read,
    read_list,
    read_page,
)


class Client:
    """`with Client(url) as client:`. Raises `ClientError` and its kin, never httpx's own."""

    def __init__(
        self, url: str = exchange.DEFAULT_SERVER, *, token: str | None = None, timeout: httpx.Timeout = exchange.TIMEOUT
    ) -> None:
        self._http = httpx.Client(base_url=url, headers=exchange.headers_of(token), timeout=timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def cameras(self) -> list[CameraStatus]:
        return read_list(CameraStatus, self._json(exchange.CAMERAS), "cameras")

    def status(self) -> dict[str, Any]:
        """The service as a whole: version, model, broker."""
        return dict(self._json(exchange.STATUS))

    def ask(self, camera: str, question: str, **sampling: Any) -> Reply:
        """Ask; iterate for the tokens and, last, the `Answer`. `sampling`: max_tokens, temperature, top_p, seed; `since`, `until`
        (epoch seconds, an ISO time, or `-10m`) and `recall` (auto, window, memory) ask about the past."""
        return Reply(self._http, exchange.camera_path(camera, "ask"), {"question": question, "stream": True, **sampling})

    def timeline(self, camera: str) -> Timeline:
        """Costs, cuts and figures of the last minutes."""
        return read(Timeline, self._json(exchange.camera_path(camera, "timeline")))

    def watches(self, camera: str | None = None) -> list[WatchStatus]:
        """Of one camera, or of all."""
        return read_list(WatchStatus, self._json(exchange.watches_path(camera)), "watches")

    def put_watch(self, camera: str, name: str, **settings: Any) -> WatchStatus:
        """Make a watch, or change one. `settings`: sentence, threshold, release, confirm, schedule, zone, and so on."""
        return read(WatchStatus, exchange.parsed(self._send("PUT", exchange.watch_path(camera, name), settings)))

    def remove_watch(self, camera: str, name: str) -> None:
        self._send("DELETE", exchange.watch_path(camera, name))

    def canvases(self, camera: str) -> bytes:
        """What the model was shown last, as a PNG."""
        return self._send("GET", exchange.camera_path(camera, "canvases.png")).content

    def events(self, **wanted: Any) -> JournalPage:
        """A page of the journal. `wanted`: camera, kind, id, since, until (UTC epoch seconds), limit, after, order (oldest, newest)."""
        return read_page(self._json(exchange.EVENTS, exchange.given(wanted)))

    def follow(self, **wanted: Any) -> Iterator[JournalEntry]:
        """Entries as they come, until the service stops. `wanted`: camera, kind, after. Leaving the loop closes the connection."""
        reader = EventReader()
        try:
            with self._http.stream("GET", exchange.EVENT_STREAM, params=exchange.given(wanted)) as response:
                if exchange.is_refusal(response):
                    response.read()
                    raise exchange.refusal(response)
                for line in response.iter_lines():
                    if (entry := exchange.journal_entry(reader.feed(line))) is not None:
                        yield entry
        except httpx.HTTPError as error:
            raise exchange.failed(self._http.base_url, error) from error

    def _json(self, path: str, params: dict[str, Any] | None = None) -> Any:
        return exchange.parsed(self._send("GET", path, params=params))

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, params: dict[str, Any] | None = None
    ) -> httpx.Response:
        try:
            response = self._http.request(method, path, json=body, params=params)
        except httpx.HTTPError as error:
            raise exchange.failed(self._http.base_url, error) from error
        if exchange.is_refusal(response):
            raise exchange.refusal(response)
        return response


class Reply:
    """An answer on its way. Leaving the loop early closes the connection, and the service stops working on it."""

    def __init__(self, http: httpx.Client, path: str, body: dict[str, Any]) -> None:
        self._http = http
        self._path = path
        self._body = body

    def __iter__(self) -> Iterator[Token | Answer]:
        reader = EventReader()
        try:
            with self._http.stream("POST", self._path, json=self._body) as response:
                if exchange.is_refusal(response):
                    response.read()
                    raise exchange.refusal(response)
                for line in response.iter_lines():
                    if (part := exchange.answer_part(reader.feed(line))) is not None:
                        yield part
                        if isinstance(part, Answer):
                            return
        except httpx.HTTPError as error:
            raise exchange.failed(self._http.base_url, error) from error
        raise ProtocolError("ask: expected a final answer, the connection ended before it")

    def answer(self) -> Answer:
        """Wait for the whole of it."""
        return next(part for part in self if isinstance(part, Answer))

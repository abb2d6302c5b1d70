"""The client for programs without an event loop.

In: the address of a service. Out: cameras, and answers that stream. The asyncio one is its twin in async_client.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from ov2_client.errors import ConnectionFailedError, ProtocolError, refused
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
    read_answer,
    read_page,
)

DEFAULT_SERVER = "http://127.0.0.1:8710"
TIMEOUT = httpx.Timeout(10.0, read=120.0)
"""An answer may wait for the questions before it."""


class Client:
    """`with Client(url) as client:`. Raises `ClientError` and its kin, never httpx's own."""

    def __init__(self, url: str = DEFAULT_SERVER, *, token: str | None = None, timeout: httpx.Timeout = TIMEOUT) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else None
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def cameras(self) -> list[CameraStatus]:
        data = self._json("/v1/cameras")
        if not isinstance(data, list):
            raise ProtocolError(f"cameras: expected a JSON list, got {type(data).__name__}")
        return [read(CameraStatus, item) for item in data]

    def status(self) -> dict[str, Any]:
        """The service as a whole: version, model, broker."""
        return dict(self._json("/v1/status"))

    def ask(self, camera: str, question: str, **sampling: Any) -> Reply:
        """Ask; iterate for the tokens and, last, the `Answer`. `sampling`: max_tokens, temperature, top_p, seed; `since`, `until`
        (epoch seconds, an ISO time, or `-10m`) and `recall` (auto, window, memory) ask about the past."""
        body = {"question": question, "stream": True, **sampling}
        return Reply(self._http, f"/v1/cameras/{quote(camera, safe='')}/ask", body)

    def timeline(self, camera: str) -> Timeline:
        """Costs, cuts and figures of the last minutes."""
        return read(Timeline, self._json(f"/v1/cameras/{quote(camera, safe='')}/timeline"))

    def watches(self, camera: str | None = None) -> list[WatchStatus]:
        """Of one camera, or of all."""
        data = self._json("/v1/watches" if camera is None else f"/v1/cameras/{quote(camera, safe='')}/watches")
        if not isinstance(data, list):
            raise ProtocolError(f"watches: expected a JSON list, got {type(data).__name__}")
        return [read(WatchStatus, item) for item in data]

    def put_watch(self, camera: str, name: str, **settings: Any) -> WatchStatus:
        """Make a watch, or change one. `settings`: sentence, threshold, release, confirm, schedule, zone, and so on."""
        response = self._send("PUT", watch_path(camera, name), settings)
        return read(WatchStatus, response.json())

    def remove_watch(self, camera: str, name: str) -> None:
        self._send("DELETE", watch_path(camera, name))

    def canvases(self, camera: str) -> bytes:
        """What the model was shown last, as a PNG."""
        return (self._get(f"/v1/cameras/{quote(camera, safe='')}/canvases.png")).content

    def events(self, **wanted: Any) -> JournalPage:
        """A page of the journal. `wanted`: camera, kind, id, since, until (UTC epoch seconds), limit, after, order (oldest, newest)."""
        return read_page(self._json("/v1/events", {name: value for name, value in wanted.items() if value is not None}))

    def follow(self, **wanted: Any) -> Iterator[JournalEntry]:
        """Entries as they come, until the service stops. `wanted`: camera, kind, after. Leaving the loop closes the connection."""
        reader = EventReader()
        params = {name: value for name, value in wanted.items() if value is not None}
        try:
            with self._http.stream("GET", "/v1/events/stream", params=params) as response:
                if response.status_code >= 400:
                    raise refused(response.status_code, response.read(), response.headers.get("Retry-After"))
                for line in response.iter_lines():
                    if (event := reader.feed(line)) is not None and event[0] == "entry":
                        yield read(JournalEntry, event[1])
        except httpx.HTTPError as error:
            raise failed(self._http.base_url, error) from error

    def _json(self, path: str, params: dict[str, Any] | None = None) -> Any:
        try:
            return (self._get(path, params)).json()
        except ValueError:
            raise ProtocolError(f"{path}: expected JSON, got something else") from None

    def _get(self, path: str, params: dict[str, Any] | None = None) -> httpx.Response:
        return self._send("GET", path, params=params)

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, params: dict[str, Any] | None = None
    ) -> httpx.Response:
        try:
            response = self._http.request(method, path, json=body, params=params)
        except httpx.HTTPError as error:
            raise failed(self._http.base_url, error) from error
        if response.status_code >= 400:
            raise refused(response.status_code, response.content, response.headers.get("Retry-After"))
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
                if response.status_code >= 400:
                    raise refused(response.status_code, response.read(), response.headers.get("Retry-After"))
                for line in response.iter_lines():
                    if (part := parse(reader.feed(line))) is not None:
                        yield part
                        if isinstance(part, Answer):
                            return
        except httpx.HTTPError as error:
            raise failed(self._http.base_url, error) from error
        raise ProtocolError("ask: expected a final answer, the connection ended before it")

    def answer(self) -> Answer:
        """Wait for the whole of it."""
        return next(part for part in self if isinstance(part, Answer))


def watch_path(camera: str, name: str) -> str:
    return f"/v1/cameras/{quote(camera, safe='')}/watches/{quote(name, safe='')}"


def parse(event: tuple[str, Any] | None) -> Token | Answer | None:
    """A server-sent event as a part of an answer; None for what this client does not know. Raises `RefusedError`."""
    match event:
        case ("token", data):
            return read(Token, data)
        case ("answer", data):
            return read_answer(data)
        case ("error", data):
            raise refused(503, data)
    return None


def failed(url: httpx.URL, error: httpx.HTTPError) -> ConnectionFailedError:
    return ConnectionFailedError(
        f"{url.scheme}://{url.host}:{url.port or ''}: expected a running service, got {type(error).__name__}"
    )

"""The client for asyncio programs. Twin of client.py: same calls, same types, same errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx

from ov2_client.client import DEFAULT_SERVER, TIMEOUT, failed, parse, watch_path
from ov2_client.errors import ProtocolError, refused
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
    read_page,
)


class AsyncClient:
    """`async with AsyncClient(url) as client:`."""

    def __init__(self, url: str = DEFAULT_SERVER, *, token: str | None = None, timeout: httpx.Timeout = TIMEOUT) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else None
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def cameras(self) -> list[CameraStatus]:
        data = await self._json("/v1/cameras")
        if not isinstance(data, list):
            raise ProtocolError(f"cameras: expected a JSON list, got {type(data).__name__}")
        return [read(CameraStatus, item) for item in data]

    async def status(self) -> dict[str, Any]:
        """The service as a whole: version, model, broker."""
        return dict(await self._json("/v1/status"))

    def ask(self, camera: str, question: str, **sampling: Any) -> AsyncReply:
        """Ask; `async for` gives the tokens and, last, the `Answer`. `sampling`: max_tokens, temperature, top_p, seed; `since`, `until`
        (epoch seconds, an ISO time, or `-10m`) and `recall` (auto, window, memory) ask about the past."""
        body = {"question": question, "stream": True, **sampling}
        return AsyncReply(self._http, f"/v1/cameras/{quote(camera, safe='')}/ask", body)

    async def timeline(self, camera: str) -> Timeline:
        """Costs, cuts and figures of the last minutes."""
        return read(Timeline, await self._json(f"/v1/cameras/{quote(camera, safe='')}/timeline"))

    async def watches(self, camera: str | None = None) -> list[WatchStatus]:
        """Of one camera, or of all."""
        data = await self._json("/v1/watches" if camera is None else f"/v1/cameras/{quote(camera, safe='')}/watches")
        if not isinstance(data, list):
            raise ProtocolError(f"watches: expected a JSON list, got {type(data).__name__}")
        return [read(WatchStatus, item) for item in data]

    async def put_watch(self, camera: str, name: str, **settings: Any) -> WatchStatus:
        """Make a watch, or change one. `settings`: sentence, threshold, release, confirm, schedule, zone, and so on."""
        response = await self._send("PUT", watch_path(camera, name), settings)
        return read(WatchStatus, response.json())

    async def remove_watch(self, camera: str, name: str) -> None:
        await self._send("DELETE", watch_path(camera, name))

    async def canvases(self, camera: str) -> bytes:
        """What the model was shown last, as a PNG."""
        return (await self._get(f"/v1/cameras/{quote(camera, safe='')}/canvases.png")).content

    async def events(self, **wanted: Any) -> JournalPage:
        """A page of the journal. `wanted`: camera, kind, id, since, until (UTC epoch seconds), limit, after, order (oldest, newest)."""
        return read_page(await self._json("/v1/events", {name: value for name, value in wanted.items() if value is not None}))

    async def follow(self, **wanted: Any) -> AsyncIterator[JournalEntry]:
        """Entries as they come, until the service stops. `wanted`: camera, kind, after. Closing the iterator closes the connection."""
        reader = EventReader()
        params = {name: value for name, value in wanted.items() if value is not None}
        try:
            async with self._http.stream("GET", "/v1/events/stream", params=params) as response:
                if response.status_code >= 400:
                    raise refused(response.status_code, await response.aread(), response.headers.get("Retry-After"))
                async for line in response.aiter_lines():
                    if (event := reader.feed(line)) is not None and event[0] == "entry":
                        yield read(JournalEntry, event[1])
        except httpx.HTTPError as error:
            raise failed(self._http.base_url, error) from error

    async def _json(self, path: str, params: dict[str, Any] | None = None) -> Any:
        try:
            return (await self._get(path, params)).json()
        except ValueError:
            raise ProtocolError(f"{path}: expected JSON, got something else") from None

    async def _get(self, path: str, params: dict[str, Any] | None = None) -> httpx.Response:
        return await self._send("GET", path, params=params)

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, params: dict[str, Any] | None = None
    ) -> httpx.Response:
        try:
            response = await self._http.request(method, path, json=body, params=params)
        except httpx.HTTPError as error:
            raise failed(self._http.base_url, error) from error
        if response.status_code >= 400:
            raise refused(response.status_code, response.content, response.headers.get("Retry-After"))
        return response


class AsyncReply:
    """An answer on its way. Closing the iterator closes the connection, and the service stops working on it."""

    def __init__(self, http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
        self._http = http
        self._path = path
        self._body = body

    async def __aiter__(self) -> AsyncIterator[Token | Answer]:
        reader = EventReader()
        try:
            async with self._http.stream("POST", self._path, json=self._body) as response:
                if response.status_code >= 400:
                    raise refused(response.status_code, await response.aread(), response.headers.get("Retry-After"))
                async for line in response.aiter_lines():
                    if (part := parse(reader.feed(line))) is not None:
                        yield part
                        if isinstance(part, Answer):
                            return
        except httpx.HTTPError as error:
            raise failed(self._http.base_url, error) from error
        raise ProtocolError("ask: expected a final answer, the connection ended before it")

    async def answer(self) -> Answer:
        """Wait for the whole of it."""
        async for part in self:
            if isinstance(part, Answer):
                return part
        raise ProtocolError("ask: expected a final answer, the connection ended before it")

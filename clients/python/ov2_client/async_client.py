"""The client for asyncio programs. Twin of client.py: same calls, same types, same errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
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


class AsyncClient:
    """`async with AsyncClient(url) as client:`."""

    def __init__(
        self, url: str = exchange.DEFAULT_SERVER, *, token: str | None = None, timeout: httpx.Timeout = exchange.TIMEOUT
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=exchange.headers_of(token), timeout=timeout)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def cameras(self) -> list[CameraStatus]:
        return read_list(CameraStatus, await self._json(exchange.CAMERAS), "cameras")

    async def status(self) -> dict[str, Any]:
        """The service as a whole: version, model, broker."""
        return dict(await self._json(exchange.STATUS))

    def ask(self, camera: str, question: str, **sampling: Any) -> AsyncReply:
        """Ask; `async for` gives the tokens and, last, the `Answer`. `sampling`: max_tokens, temperature, top_p, seed; `since`, `until`
        (epoch seconds, an ISO time, or `-10m`) and `recall` (auto, window, memory) ask about the past."""
        return AsyncReply(self._http, exchange.camera_path(camera, "ask"), {"question": question, "stream": True, **sampling})

    async def timeline(self, camera: str) -> Timeline:
        """Costs, cuts and figures of the last minutes."""
        return read(Timeline, await self._json(exchange.camera_path(camera, "timeline")))

    async def watches(self, camera: str | None = None) -> list[WatchStatus]:
        """Of one camera, or of all."""
        return read_list(WatchStatus, await self._json(exchange.watches_path(camera)), "watches")

    async def put_watch(self, camera: str, name: str, **settings: Any) -> WatchStatus:
        """Make a watch, or change one. `settings`: sentence, threshold, release, confirm, schedule, zone, and so on."""
        return read(WatchStatus, exchange.parsed(await self._send("PUT", exchange.watch_path(camera, name), settings)))

    async def remove_watch(self, camera: str, name: str) -> None:
        await self._send("DELETE", exchange.watch_path(camera, name))

    async def canvases(self, camera: str) -> bytes:
        """What the model was shown last, as a PNG."""
        return (await self._send("GET", exchange.camera_path(camera, "canvases.png"))).content

    async def events(self, **wanted: Any) -> JournalPage:
        """A page of the journal. `wanted`: camera, kind, id, since, until (UTC epoch seconds), limit, after, order (oldest, newest)."""
        return read_page(await self._json(exchange.EVENTS, exchange.given(wanted)))

    async def follow(self, **wanted: Any) -> AsyncIterator[JournalEntry]:
        """Entries as they come, until the service stops. `wanted`: camera, kind, after. Closing the iterator closes the connection."""
        reader = EventReader()
        try:
            async with self._http.stream("GET", exchange.EVENT_STREAM, params=exchange.given(wanted)) as response:
                if exchange.is_refusal(response):
                    await response.aread()
                    raise exchange.refusal(response)
                async for line in response.aiter_lines():
                    if (entry := exchange.journal_entry(reader.feed(line))) is not None:
                        yield entry
        except httpx.HTTPError as error:
            raise exchange.failed(self._http.base_url, error) from error

    async def _json(self, path: str, params: dict[str, Any] | None = None) -> Any:
        return exchange.parsed(await self._send("GET", path, params=params))

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, params: dict[str, Any] | None = None
    ) -> httpx.Response:
        try:
            response = await self._http.request(method, path, json=body, params=params)
        except httpx.HTTPError as error:
            raise exchange.failed(self._http.base_url, error) from error
        if exchange.is_refusal(response):
            raise exchange.refusal(response)
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
                if exchange.is_refusal(response):
                    await response.aread()
                    raise exchange.refusal(response)
                async for line in response.aiter_lines():
                    if (part := exchange.answer_part(reader.feed(line))) is not None:
                        yield part
                        if isinstance(part, Answer):
                            return
        except httpx.HTTPError as error:
            raise exchange.failed(self._http.base_url, error) from error
        raise ProtocolError("ask: expected a final answer, the connection ended before it")

    async def answer(self) -> Answer:
        """Wait for the whole of it."""
        async for part in self:
            if isinstance(part, Answer):
                return part
        raise ProtocolError("ask: expected a final answer, the connection ended before it")

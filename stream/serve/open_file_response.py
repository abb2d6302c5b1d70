"""A file sent over HTTP: whole or a range, or nothing where the client has it (RFC 9110 13 and 14), and never to a client that does not read.

In: an open file with its entity tag. Out: the answer. However it ends, the file is closed and its place given back; a client that does not
take its bytes in time loses the connection. One range is served; several at once get the whole, as the standard allows.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from stream.serve.clips import OpenClip
from stream.serve.errors import RangeError

CHUNK_BYTES = 64 << 10
"""The client must take so much within the time for writing."""
_RANGE = re.compile(r"(\d{0,18})-(\d{0,18})", re.ASCII)
Span = tuple[int, int]
"""First byte, and one past the last."""


def has_tag(header: str | None, etag: str) -> bool:
    """Whether If-None-Match names this entity tag (RFC 9110 13.1.2: weak comparison)."""
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags


def byte_range(header: str | None, num_bytes: int) -> Span | None:
    """The one range that is asked for; None for the whole: no range, several, or of another unit. Raises `RangeError` for one that is no
    range, or lies outside."""
    unit, _, listed = (header or "").partition("=")
    if unit.strip().lower() != "bytes" or "," in listed:
        return None
    found = _RANGE.fullmatch(listed.strip())
    if found is None or found[0] == "-":
        raise _bad_range(num_bytes)
    if not found[1]:
        first, end = num_bytes - min(int(found[2]), num_bytes), num_bytes
    else:
        first, end = int(found[1]), min(int(found[2]) + 1, num_bytes) if found[2] else num_bytes
    if first >= end:
        raise _bad_range(num_bytes)
    return first, end


def _bad_range(num_bytes: int) -> RangeError:
    expected = f"one range of bytes within {num_bytes}, as bytes=0-{num_bytes - 1}"
    return RangeError(f"Range: expected {expected}", expected=expected)


class OpenFileResponse(Response):
    """Takes the clip over: it is closed when the answer has ended. `headers` are sent along. Each chunk must be taken within
    `write_timeout_s`."""

    def __init__(self, clip: OpenClip, *, media_type: str, headers: dict[str, str], write_timeout_s: float) -> None:
        self.status_code = HTTPStatus.OK
        self.background = None
        self._clip, self._write_timeout_s = clip, write_timeout_s
        self._etag, self._num_bytes = clip.cached.etag, clip.cached.num_bytes
        self._more = {**headers, "ETag": self._etag, "Accept-Ranges": "bytes", "Cache-Control": "no-cache"}
        self._media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer, span = self._decide(scope["method"], Headers(scope=scope))
            if span is None:
                async with asyncio.timeout(self._write_timeout_s):
                    await answer(scope, receive, send)
            else:
                await self._send(answer, span, receive, send)
        except TimeoutError:
            self._clip.too_slow()  # an answer that is not whole: the server closes the connection
        finally:
            self._clip.close()

    def _decide(self, method: str, headers: Headers) -> tuple[Response, Span | None]:
        """The answer, and which bytes of the file follow its head."""
        if has_tag(headers.get("if-none-match"), self._etag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=self._more), None
        whole = (0, self._num_bytes)
        if method != "GET":
            return self._head(HTTPStatus.OK, whole), None
        begun = headers.get("if-range")  # a range of what the client began with, or the whole anew (RFC 9110 13.1.5)
        try:
            span = byte_range(headers.get("range"), self._num_bytes) if begun in (None, self._etag) else None
        except RangeError as error:
            told = {"Content-Range": f"bytes */{self._num_bytes}"}
            return JSONResponse(error.body(), error.status, told), None
        if span is None:
            return self._head(HTTPStatus.OK, whole), whole
        head = self._head(HTTPStatus.PARTIAL_CONTENT, span)
        head.headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{self._num_bytes}"
        return head, span

    def _head(self, status: HTTPStatus, span: Span) -> Response:
        head = Response(status_code=status, headers=self._more, media_type=self._media_type)
        head.headers["Content-Length"] = str(span[1] - span[0])
        return head

    async def _send(self, head: Response, span: Span, receive: Receive, send: Send) -> None:
        """Raises `TimeoutError`."""
        leaving = asyncio.create_task(_gone(receive))
        try:
            await self._write(head, span, leaving, send)
        finally:
            leaving.cancel()
            with suppress(asyncio.CancelledError):
                await leaving

    async def _write(self, head: Response, span: Span, leaving: asyncio.Task[None], send: Send) -> None:
        at, end = span
        async with asyncio.timeout(self._write_timeout_s):
            await send({"type": "http.response.start", "status": head.status_code, "headers": head.raw_headers})
        while at < end and not leaving.done():
            data = await self._clip.read(min(CHUNK_BYTES, end - at), at)
            assert data, "a file of the cache never gets shorter"
            at += len(data)
            async with asyncio.timeout(self._write_timeout_s):
                await send({"type": "http.response.body", "body": data, "more_body": at < end})


async def _gone(receive: Receive) -> None:
    """Until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass

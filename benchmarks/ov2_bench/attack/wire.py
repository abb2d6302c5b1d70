"""HTTP/1.1 as raw bytes over one connection: an attacker may send what no library would.

In: bytes of a request. Out: a `Reply`; no answer is a reply too, with status 0 and the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ANSWER_S = 20.0
LARGEST_HEAD = 256 << 10
LARGEST_BODY = 256 << 20
BODYLESS = frozenset({204, 304})
RETRY_AFTER = "retry-after"


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers` with small letters. `status` 0: no answer, `problem` says why."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    problem: str = ""

    def json(self) -> Any:
        """The body; None where it is no JSON."""
        import json

        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Wire:
    """One connection, kept as long as the other side keeps it. `close` it."""

    def __init__(self, host: str, port: int, *, answer_s: float = ANSWER_S) -> None:
        self._host, self._port, self._answer_s = host, port, answer_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes, *, head_only: bool = False, bodyless: bool = False) -> Reply:
        """Send and read one answer. `head_only`: of a body that never ends; the connection is closed behind it. `bodyless`: HEAD."""
        is_kept = self._writer is not None
        reply = await self._once(request, head_only, bodyless)
        if is_kept and reply.problem == "closed without an answer":  # it was idle for too long: every client tries once more
            reply = await self._once(request, head_only, bodyless)
        return reply

    async def _once(self, request: bytes, head_only: bool, bodyless: bool) -> Reply:
        try:
            async with asyncio.timeout(self._answer_s):
                if self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=LARGEST_HEAD)
                self._writer.write(request)
                with contextlib.suppress(ConnectionError):  # a refusal may come before all was sent: it is still to be read
                    await self._writer.drain()
                assert self._reader is not None
                reply, is_over = await read_reply(self._reader, head_only=head_only, bodyless=bodyless)
        except TimeoutError:
            reply, is_over = Reply(problem=f"no answer within {self._answer_s:.0f} s"), True
        except (OSError, EOFError) as error:
            reply, is_over = Reply(problem=_words(error)), True
        except (ValueError, asyncio.LimitOverrunError) as error:
            reply, is_over = Reply(problem=f"an answer that is no HTTP: {error}"), True
        if is_over:
            await self.close()
        return reply

    async def close(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()


async def read_reply(reader: asyncio.StreamReader, *, head_only: bool = False, bodyless: bool = False) -> tuple[Reply, bool]:
    """One answer, and whether the connection is over with it. Raises `EOFError`, `OSError`, `ValueError`."""
    status = 100
    while status == 100:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        status = int(first.split(" ", 2)[1])
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    is_over = headers.get("connection", "").lower() == "close"
    if head_only:
        return Reply(status, headers), True
    if bodyless or status in BODYLESS:
        return Reply(status, headers), is_over
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Reply(status, headers, await _chunks(reader)), is_over
    if "content-length" in headers:
        num_bytes = int(headers["content-length"])
        if num_bytes > LARGEST_BODY:
            raise ValueError(f"a body of {num_bytes} bytes")
        return Reply(status, headers, await reader.readexactly(num_bytes)), is_over
    return Reply(status, headers, await reader.read(LARGEST_BODY)), True


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
        if len(body) > LARGEST_BODY:
            raise ValueError(f"a body of more than {LARGEST_BODY} bytes")
    await reader.readuntil(b"\r\n")
    return bytes(body)


def _words(error: Exception) -> str:
    if isinstance(error, asyncio.IncompleteReadError):
        return "closed in the middle of an answer" if error.partial else "closed without an answer"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "closed without an answer"
    return f"{type(error).__name__}: {error}"


def request_bytes(
    method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"", *, host: str = "127.0.0.1"
) -> bytes:
    """A request as it goes over the wire. `target` and headers go as they are, in latin-1; `Host` may be among the headers."""
    given = {"Host": host, **(headers or {})}
    if body or method in ("POST", "PUT", "PATCH"):
        given.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + body

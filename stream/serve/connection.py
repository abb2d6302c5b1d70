"""One connection of the HTTP server: uvicorn's, with deadlines and a place of its own.

In: bytes of a client. Out: requests for the application; or a refusal as bytes, in the shape of all refusals, when there is no place, when
headers or a body do not come in time, or when what came is no HTTP. A client that leaves unread what is sent to it is dropped. Every
refusal is counted by its code.

uvicorn has a deadline for idle connections alone. These are timers of the protocol, not of the application, because headers, what follows an
early answer, and what is left in the socket when a connection closes never reach the application.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from stream.camera.errors import RETRY_AFTER_S
from stream.config.sections import ServerSettings
from stream.errors import ServiceError
from stream.serve.errors import ConnectionsError, MalformedError, SlowBodyError, SlowHeadersError
from stream.serve.places import Places

LINGER_S = 3.0
"""How long a client that is refused may still send before its connection is cut: cut at once, it would never read why (RFC 9112 9.6)."""
MOST_TURNED_AWAY = 64
"""Connections beyond all places that are told so; further ones are cut without a word."""
WRITE_BUFFER_BYTES = 32 << 10
"""Unsent bytes from which a client counts as one that does not read."""
SLOW_READER = "slow_reader"
"""Counted among the refused; nobody reads an answer."""


class Connection(H11Protocol):
    """Made by uvicorn, one for each connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        settings: ServerSettings,
        places: Places,
        refused: Counter[str],
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._settings = settings
        self._places = places
        self._refused = refused
        self._address: str | None = None
        self._is_ending = False
        self._awaited: object = None
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # what asyncio tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._socket = transport
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        super().connection_made(_Transport(transport, self._close, lambda: self._is_ending))  # type: ignore[arg-type]
        address = self.client[0] if self.client else ""
        if self._places.take(address):
            self._address = address
            self._watch_reading()
        else:
            self._turn_away()

    def data_received(self, data: bytes) -> None:
        if not self._is_ending:
            super().data_received(data)
            self._watch_reading()

    def eof_received(self) -> None:
        """asyncio closes the transport now, which takes for ever where a client does not read."""
        self._set_timer("write", self._settings.write_timeout_s, self._drop)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_ending = True
        for timer in self._timers.values():
            timer.cancel()
        if self._address is not None:
            self._places.give_back(self._address)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._set_timer("write", self._settings.write_timeout_s, self._drop)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._is_ending:
            self._end_timer("write")

    # what uvicorn tells

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_reading()

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedError("expected a request of HTTP/1.1, got something else", expected="HTTP/1.1"))

    def shutdown(self) -> None:
        if self._is_ending or self.flow.write_paused:
            self._socket.abort()
        else:
            super().shutdown()

    def _should_upgrade(self) -> bool:
        """Never: there is nothing here to upgrade to, and uvicorn would log every wish."""
        return False

    # deadlines

    def _watch_reading(self) -> None:
        """One deadline for headers from their first byte, one for a body from its headers on."""
        awaited = self._awaits()
        if awaited == self._awaited:
            return
        self._awaited = awaited
        match awaited:
            case "headers", _:
                self._set_timer("read", self._settings.header_timeout_s, self._headers_late)
            case "body", _:
                self._set_timer("read", self._settings.body_timeout_s, self._body_late)
            case _:
                self._end_timer("read")

    def _awaits(self) -> tuple[str, object] | None:
        """What the client has to send now, and of which request."""
        if self._is_ending:
            return None
        if self.conn.their_state is h11.SEND_BODY:
            return "body", self.cycle
        # between two requests uvicorn's own deadline runs, until something comes
        is_idle = self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None
        return ("headers", self.cycle) if is_idle else None

    def _headers_late(self) -> None:
        seconds = self._settings.header_timeout_s
        self._refuse(
            SlowHeadersError(
                f"expected the headers of a request within {seconds:g} s; server.header_timeout_s sets the limit",
                expected=f"headers within {seconds:g} s",
                setting="server.header_timeout_s",
            )
        )

    def _body_late(self) -> None:
        seconds = self._settings.body_timeout_s
        self._refuse(
            SlowBodyError(
                f"expected the whole body within {seconds:g} s; server.body_timeout_s sets the limit",
                expected=f"a body within {seconds:g} s",
                setting="server.body_timeout_s",
            )
        )

    def _drop(self) -> None:
        self._refused[SLOW_READER] += 1
        self._socket.abort()

    def _set_timer(self, name: str, seconds: float, ring: Callable[[], None]) -> None:
        self._end_timer(name)
        self._timers[name] = self.loop.call_later(seconds, ring)

    def _end_timer(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    # the end

    def _turn_away(self) -> None:
        error = too_many_connections(self._places)
        if len(self.connections) > self._places.number + MOST_TURNED_AWAY:
            self._refused[error.code] += 1
            self._socket.abort()
        else:
            self._refuse(error)

    def _refuse(self, error: ServiceError) -> None:
        """Answer, unless an answer is under way already, and close."""
        self._refused[error.code] += 1
        is_answered = False
        if self.cycle is not None:
            is_answered = self.cycle.response_started and not self.cycle.response_complete
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not is_answered:
            self._socket.write(_as_bytes(error, self.server_state.default_headers))
        self._linger()

    def _close(self) -> None:
        """What uvicorn does in place of closing the transport: what the client still sends is let pass by for a moment, and what it does not
        read is given up."""
        if self._is_ending:
            return
        if self.conn.their_state in (h11.SEND_BODY, h11.ERROR):
            self._linger()
            return
        self._is_ending = True
        self._watch_reading()
        self._socket.close()
        if self._socket.get_write_buffer_size():
            self._set_timer("write", self._settings.write_timeout_s, self._drop)

    def _linger(self) -> None:
        self._is_ending = True
        self._watch_reading()
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self._socket.can_write_eof() and not self._socket.is_closing():
            self._socket.write_eof()
        self._set_timer("write", LINGER_S, self._socket.abort)


class _Transport:
    """A transport whose end is somebody else's business."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None], is_ending: Callable[[], bool]) -> None:
        self._transport = transport
        self.close = close
        self._is_ending = is_ending

    def is_closing(self) -> bool:
        return self._is_ending() or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def too_many_connections(places: Places) -> ConnectionsError:
    return ConnectionsError(
        f"expected at most {places.number} connections, {places.per_address} of one address, and so many are here; come back later, "
        "or raise server.max_connections or server.max_share_per_address",
        expected=f"at most {places.number} connections, {places.per_address} of one address",
        setting="server.max_connections",
        retry_after_s=RETRY_AFTER_S,
    )


def _as_bytes(error: ServiceError, headers: list[tuple[bytes, bytes]]) -> bytes:
    """An answer of HTTP/1.1, with the headers of every answer."""
    body = json.dumps(error.body()).encode()
    lines = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
        *(f"{name.decode()}: {value.decode()}" for name, value in headers),
        *([f"retry-after: {error.retry_after_s}"] if error.retry_after_s else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body

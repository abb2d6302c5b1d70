"""A relay between a camera and us that moves the camera's clocks: its time of day in RTCP sender reports, its RTP timestamps.

Between an RTSP client and a server that sends over the RTSP connection itself (interleaved, RFC 7826 14). What the client says goes
through untouched; of what the server sends, times are rewritten in place, so no length changes but in the RTP-Info header.
"""

from __future__ import annotations

import contextlib
import queue
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

_MARK = b"$"
"""The first byte of an interleaved packet."""
_SENDER_REPORT = 200
"""Packet type (RFC 3550 12.1); times of day lie at byte 8, RTP timestamps at 16."""
_REPORT_BYTES = 28
_RTP_MOD = 1 << 32
_RTPTIME = re.compile(rb"rtptime=(\d+)")


class RtspRelay:
    """Listens at `port`, for one client after another.

    - `ntp_shift_s(number of the report, from 0)` is added to the times of day: reports come when chance will have it.
    - `rtp_shift(seconds since the first packet)` is added to RTP timestamps; `rtp_start`: the first of them, before that.
    - `delay_s`: how long everything is held on the way, from the first packet on.
    """

    def __init__(
        self,
        server_port: int,
        *,
        ntp_shift_s: Callable[[int], int] = lambda number: 0,
        rtp_shift: Callable[[float], int] = lambda at_s: 0,
        rtp_start: int | None = None,
        delay_s: float = 0.0,
    ) -> None:
        self.num_reports = 0
        self._server_port = server_port
        self._ntp_shift_s, self._rtp_shift, self._rtp_start = ntp_shift_s, rtp_shift, rtp_start
        self._delay_s = delay_s
        self._base = 0
        self._began_s: float | None = None
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        for each in (self._listening, *self._sockets):
            _end(each)
        for thread in self._threads:
            thread.join()
        for each in (self._listening, *self._sockets):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            self._sockets += [client, server]
            for pump in (lambda c=client, s=server: _copy(c, s), lambda c=client, s=server: self._rewrite(s, c)):
                thread = threading.Thread(target=pump, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _rewrite(self, server: socket.socket, client: socket.socket) -> None:
        """From server to client, one interleaved packet or one message at a time, through a line that holds each for a while."""
        line: queue.Queue[tuple[float, bytes] | None] = queue.Queue()
        sender = threading.Thread(target=_send, args=(line, client), daemon=True)
        sender.start()
        self._began_s = None
        with server.makefile("rb") as reader, contextlib.suppress(OSError, EOFError):
            while first := reader.peek(1)[:1]:
                data = self._packet(reader) if first == _MARK else self._message(reader)
                due_s = time.monotonic() + (self._delay_s if self._began_s is not None else 0.0)
                line.put((due_s, data))
        line.put(None)
        sender.join()

    def _message(self, reader: BinaryIO) -> bytes:
        """A response: its header, with the time of the first packet moved, and its body."""
        header = b""
        while not header.endswith(b"\r\n\r\n"):
            line = reader.readline()
            if not line:
                raise EOFError
            header += line
        length = re.search(rb"(?i)content-length: *(\d+)", header)
        body = reader.read(int(length[1])) if length else b""
        return _RTPTIME.sub(self._first_time, header) + body

    def _first_time(self, found: re.Match[bytes]) -> bytes:
        if self._rtp_start is not None:
            self._base = self._rtp_start - int(found[1])
        return b"rtptime=%d" % ((int(found[1]) + self._base) % _RTP_MOD)

    def _packet(self, reader: BinaryIO) -> bytes:
        head = reader.read(4)
        payload = bytearray(reader.read(struct.unpack(">H", head[2:])[0]))
        now_s = time.monotonic()
        self._began_s = now_s if self._began_s is None else self._began_s
        at_s = now_s - self._began_s
        if head[1] % 2 == 0:
            _move(payload, 4, self._base + self._rtp_shift(at_s))
        elif len(payload) >= _REPORT_BYTES and payload[1] == _SENDER_REPORT:
            _move(payload, 8, self._ntp_shift_s(self.num_reports))
            self.num_reports += 1
            _move(payload, 16, self._base + self._rtp_shift(at_s))
        return head + payload


def _move(payload: bytearray, at: int, shift: int) -> None:
    struct.pack_into(">I", payload, at, (struct.unpack_from(">I", payload, at)[0] + shift) % _RTP_MOD)


def _send(line: queue.Queue[tuple[float, bytes] | None], client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while (item := line.get()) is not None:
            due_s, data = item
            time.sleep(max(0.0, due_s - time.monotonic()))
            client.sendall(data)
    _end(client)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        _end(sink)


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)

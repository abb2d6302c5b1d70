"""Cameras that mean harm: pictures that never end, over every way in. No test in here."""

from __future__ import annotations

import base64
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from itertools import chain, count

from webrtc_bits import PPS, SPS, START

TS_BYTES = 188
VIDEO_PID = 0x100
WAIT_S = 60.0
FILL = 0x55
_RTP_BYTES = 1400
_FIRST, _LAST, _FU_A, _IDR = 0x80, 0x40, 28, 5
"""Of a fragmentation unit (RFC 6184 5.8): start bit, end bit, type; the type of the unit that it is a piece of."""
_INTERLEAVED = "RTP/AVP/TCP;unicast;interleaved=0-1"


class Served:
    """A TCP server that says `talk(socket)` to each who connects, until they leave; `num_clients` counts them, `num_bytes` what the
    loops of `pour` sent."""

    def __init__(self, talk: Callable[[Served, socket.socket], None]) -> None:
        self.num_clients = self.num_bytes = 0
        self._talk = talk
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._peers: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listening.accept()
            except OSError:
                return
            self.num_clients += 1
            self._peers.append(peer)
            self._threads.append(threading.Thread(target=self._serve, args=(peer,), daemon=True))
            self._threads[-1].start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            self._talk(self, peer)

    def pour(self, peer: socket.socket, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            peer.sendall(piece)
            self.num_bytes += len(piece)

    def close(self) -> None:
        for each in (self._listening, *self._peers):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(WAIT_S)


def endless_ts(begin: bytes) -> Iterator[bytes]:
    """A transport stream whose next picture never ends: `begin` is whole transport packets with a programme whose video has `VIDEO_PID`."""
    yield begin
    pes = b"\x00\x00\x01\xe0\x00\x00\x80\x80\x05" + _stamp(10 * 90_000) + START + bytes([0x65, 0x88, 0x84])
    first = _next_number(begin)
    yield _ts(first, pes.ljust(TS_BYTES - 4, bytes([FILL])), starts=True)
    for batch in count():
        yield b"".join(_ts(first + 1 + batch * 16 + number, bytes([FILL]) * (TS_BYTES - 4)) for number in range(16))


def _next_number(begin: bytes) -> int:
    """The continuity counter that follows (H.222.0 2.4.3.3); another one says that something was lost."""
    packets = [begin[at : at + TS_BYTES] for at in range(0, len(begin), TS_BYTES)]
    numbers = [packet[3] & 15 for packet in packets if packet[1] << 8 & 0x1F00 | packet[2] == VIDEO_PID]
    return numbers[-1] + 1 if numbers else 0


def _ts(number: int, payload: bytes, *, starts: bool = False) -> bytes:
    return bytes([0x47, (0x40 if starts else 0) | VIDEO_PID >> 8, VIDEO_PID & 255, 0x10 | number % 16]) + payload


def _stamp(ticks: int) -> bytes:
    """A PTS (H.222.0 2.4.3.7)."""
    marked = [0x21 | ticks >> 29 & 14, ticks >> 22 & 255, 1 | ticks >> 14 & 254, ticks >> 7 & 255, 1 | ticks << 1 & 254]
    return bytes(marked)


def rtp(number: int, payload: bytes, *, time: int, marker: bool = False) -> bytes:
    return struct.pack(">BBHII", 0x80, 96 | (0x80 if marker else 0), number % 65_536, time, 7) + payload


def fragments(first: int, *, time: int, marker: bool = False) -> Iterator[bytes]:
    """RTP packets of an IDR slice whose fragments (FU-A) never end."""
    for number in count(first):
        flags = _FIRST if number == first else 0
        yield rtp(number, bytes([0x60 | _FU_A, flags | _IDR]) + bytes([FILL]) * _RTP_BYTES, time=time, marker=marker)


def whole_pictures(units: list[list[bytes]], step: int = 9000) -> list[bytes]:
    """RTP packets of access units (NAL units each), in single unit packets and fragments, the last of each marked."""
    packets: list[bytes] = []
    for index, nals in enumerate(units):
        payloads = list(chain.from_iterable(_payloads(nal) for nal in nals))
        for each, payload in enumerate(payloads, 1):
            packets.append(rtp(len(packets), payload, time=step * index, marker=each == len(payloads)))
    return packets


def _payloads(nal: bytes) -> Iterator[bytes]:
    if len(nal) <= _RTP_BYTES:
        yield nal
        return
    pieces = [nal[at : at + _RTP_BYTES] for at in range(1, len(nal), _RTP_BYTES)]
    for index, piece in enumerate(pieces):
        flags = (_FIRST if index == 0 else 0) | (_LAST if index == len(pieces) - 1 else 0)
        yield bytes([nal[0] & 0xE0 | _FU_A, flags | nal[0] & 31]) + piece


def rtsp_camera(packets: Callable[[], Iterator[bytes]]) -> Served:
    """An RTSP server of one H.264 track that sends these RTP packets, interleaved (RFC 7826 14)."""
    sets = ",".join(base64.b64encode(unit.removeprefix(START)).decode() for unit in (SPS, PPS))
    described = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=control:track\r\n"
        f"a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\n"
    )

    def talk(served: Served, peer: socket.socket) -> None:
        with peer.makefile("rb") as reader:
            while request := _request(reader):
                method, sequence = request
                head = {"DESCRIBE": "Content-Type: application/sdp\r\n", "SETUP": f"Transport: {_INTERLEAVED}\r\n"}.get(
                    method, ""
                )
                body = described if method == "DESCRIBE" else ""
                answer = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: 1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}"
                peer.sendall(answer.encode())
                if method == "PLAY":
                    served.pour(peer, (b"$\x00" + struct.pack(">H", len(each)) + each for each in packets()))

    return Served(talk)


def _request(reader: object) -> tuple[str, str] | None:
    lines: list[str] = []
    while line := reader.readline().decode("latin-1").strip():  # type: ignore[attr-defined]
        lines.append(line)
    if not lines:
        return None
    found = re.search(r"(?im)^cseq: *(\d+)", "\n".join(lines))
    return lines[0].split()[0], found[1] if found else "0"


def page_of(pieces: Callable[[], Iterator[bytes]], kind: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer of a `Site` that goes on until its reader leaves."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        with suppress(OSError):
            for piece in pieces():
                handler.wfile.write(piece)

    return answer

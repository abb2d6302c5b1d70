"""What runs over one RTSP connection, taken apart just far enough to harm it.

In: bytes of one direction of a TCP connection. Out: whole messages: requests and answers (RFC 2326), and interleaved RTP and RTCP
packets behind a `$` (RFC 2326 10.12). What is neither goes on as it came.
"""

from __future__ import annotations

import re
import struct

DOLLAR = 0x24
RTP_CLOCK_HZ = 90_000
"""Of video (RFC 6184 5.1)."""
SENDER_REPORT = 200
"""RTCP packet type (RFC 3550 12.1)."""
LONGEST_HEADER = 64 << 10
_HEADER = struct.Struct(">BBH")
_WORD = struct.Struct(">I")
_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
_RTP_AT, _SR_NTP_AT, _SR_RTP_AT = 4, 8, 16
"""Where timestamps are (RFC 3550 5.1 and 6.4.1)."""


class Splitter:
    """Cuts a stream of bytes into messages. What is incomplete waits for the rest."""

    def __init__(self) -> None:
        self._rest = b""

    def push(self, data: bytes) -> list[bytes]:
        rest = self._rest + data
        messages: list[bytes] = []
        while rest and (size := _size(rest)) and size <= len(rest):
            messages.append(rest[:size])
            rest = rest[size:]
        self._rest = rest
        return messages


def _size(data: bytes) -> int:
    """Bytes of the first message; 0 while that cannot be told."""
    if data[0] == DOLLAR:
        return 4 + _HEADER.unpack_from(data)[2] if len(data) >= 4 else 0
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return len(data) if len(data) > LONGEST_HEADER else 0
    length = _LENGTH.search(data, 0, end)
    return end + 4 + (int(length[1]) if length else 0)


def is_media(message: bytes) -> bool:
    """An interleaved packet, RTP or RTCP."""
    return message[0] == DOLLAR


def is_rtp(message: bytes) -> bool:
    """An interleaved packet on an even channel: RTP, as every peer of ours asks for."""
    return message[0] == DOLLAR and message[1] % 2 == 0


def interleaved_shifted(message: bytes, seconds: int) -> bytes:
    """An interleaved packet of a camera whose clock is `seconds` ahead."""
    shifted = rtp_shifted if is_rtp(message) else rtcp_shifted
    return message[:4] + shifted(message[4:], seconds)


def rtp_shifted(packet: bytes, seconds: int) -> bytes:
    """An RTP packet with its timestamp moved, modulo 2^32."""
    return _moved(packet, _RTP_AT, seconds * RTP_CLOCK_HZ) if len(packet) >= _RTP_AT + 4 else packet


def rtcp_shifted(packet: bytes, seconds: int) -> bytes:
    """A compound RTCP packet with the NTP and RTP times of its sender reports moved."""
    at = 0
    while at + 4 <= len(packet):
        _, kind, words = _HEADER.unpack_from(packet, at)
        if kind == SENDER_REPORT and at + _SR_RTP_AT + 4 <= len(packet):
            packet = _moved(packet, at + _SR_NTP_AT, seconds)
            packet = _moved(packet, at + _SR_RTP_AT, seconds * RTP_CLOCK_HZ)
        at += 4 * (words + 1)
    return packet


def _moved(packet: bytes, at: int, by: int) -> bytes:
    value = (_WORD.unpack_from(packet, at)[0] + by) % (1 << 32)
    return packet[:at] + _WORD.pack(value) + packet[at + 4 :]

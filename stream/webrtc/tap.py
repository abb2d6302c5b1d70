"""The place where we reach into aiortc's receiver, and into nothing of it that others use.

aiortc gives decoded frames alone. Its receiver takes each payload apart, hands it to the jitter buffer that it made for itself, and
what that returns to a decoder thread. So one receiver of one connection gets another jitter buffer: `Assembly`, which returns no frame,
and nothing is ever decoded. Lost packets are still asked for, reports still sent, by aiortc itself. Sender reports are read on their way in.

Tried with aiortc 1.16; `tap` fails loudly where a version of aiortc is built differently.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiortc import RTCRtpReceiver
from aiortc.rtp import RtcpSrPacket

from stream.webrtc.assembly import Assembly

_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_REPORTS = "_handle_rtcp_packet"


def tap(receiver: RTCRtpReceiver, assembly: Assembly, on_report: Callable[[int, int, int], None]) -> None:
    """Packets of `receiver` go to `assembly`; `on_report` gets (ssrc, NTP time, RTP time) of every sender report."""
    assert hasattr(receiver, _JITTER_BUFFER), (
        "aiortc: expected a receiver with a jitter buffer; see constraints.txt for its version"
    )
    setattr(receiver, _JITTER_BUFFER, assembly)
    handle = getattr(receiver, _REPORTS)

    async def read(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            on_report(packet.ssrc, packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp)
        await handle(packet)

    setattr(receiver, _REPORTS, read)


class Feedback:
    """RTCP that we send ourselves: picture loss (RFC 4585 6.3.1) and packets that are asked for again (6.2.1)."""

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        self._receiver = receiver
        self._sending: set[asyncio.Task[None]] = set()

    def ask_key(self, ssrc: int) -> None:
        self._send(self._receiver._send_rtcp_pli(ssrc))

    def ask_again(self, ssrc: int, numbers: list[int]) -> None:
        self._send(self._receiver._send_rtcp_nack(ssrc, numbers))

    def _send(self, sending: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

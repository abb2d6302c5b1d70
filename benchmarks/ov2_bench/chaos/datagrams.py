"""The UDP side of a relay: RTP and RTCP of one RTSP session, which can be lost.

In: the ports that service and peer agreed on, read from the RTSP that passes the TCP side. Out: datagrams, carried both ways between
two pairs of ports of our own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import cast

from ov2_bench.chaos.harm import Harm
from ov2_bench.chaos.wire import rtcp_shifted, rtp_shifted
from ov2_bench.testbed.ports import HOST

_CLIENT = re.compile(rb"client_port=(\d+)-(\d+)")
_SERVER = re.compile(rb"server_port=(\d+)-(\d+)")
_ATTEMPTS = 64
"""To find two free ports in a row, the even one first (RFC 3550 11)."""


class _Port(asyncio.DatagramProtocol):
    """One of ours; what comes goes to `take`."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data)


class DatagramLeg:
    """`rewrite` every RTSP message of a session; `close` with it."""

    def __init__(self, harm: Harm) -> None:
        self._harm = harm
        self._ours: list[asyncio.DatagramTransport] = []
        self._to_peer: list[asyncio.DatagramTransport] = []
        self._to_service: list[asyncio.DatagramTransport] = []
        self._peer_ports: tuple[int, int] | None = None
        self._service_ports: tuple[int, int] | None = None

    @property
    def in_use(self) -> bool:
        """Whether the session sends its media over UDP."""
        return bool(self._ours)

    async def rewrite(self, message: bytes) -> bytes:
        """Put our ports into a `Transport` header, and remember whose they replace."""
        if (asked := _CLIENT.search(message)) and message.startswith(b"SETUP"):
            self._service_ports = (int(asked[1]), int(asked[2]))
            if not self._to_peer:
                self._to_peer = await self._pair(self._from_peer)
                self._to_service = await self._pair(self._from_service)
            return _CLIENT.sub(b"client_port=" + _ports(self._to_peer), message)
        if self._service_ports is not None and (told := _SERVER.search(message)):
            self._peer_ports = (int(told[1]), int(told[2]))
            message = _SERVER.sub(b"server_port=" + _ports(self._to_service), message)
            return _CLIENT.sub(b"client_port=%d-%d" % self._service_ports, message)
        return message

    def close(self) -> None:
        for transport in self._ours:
            transport.close()

    async def _pair(self, take: Callable[[int, bytes], None]) -> list[asyncio.DatagramTransport]:
        loop = asyncio.get_running_loop()
        for _ in range(_ATTEMPTS):
            even, _protocol = await loop.create_datagram_endpoint(lambda: _Port(lambda data: take(0, data)), (HOST, 0))
            port = int(even.get_extra_info("sockname")[1])
            try:
                assert port % 2 == 0
                odd, _protocol = await loop.create_datagram_endpoint(
                    lambda: _Port(lambda data: take(1, data)), (HOST, port + 1)
                )
            except (AssertionError, OSError):
                even.close()
                continue
            self._ours += [even, odd]
            return [even, odd]
        raise OSError(f"expected two free UDP ports in a row, found none in {_ATTEMPTS} attempts")

    def _from_peer(self, channel: int, data: bytes) -> None:
        harm = self._harm
        if self._service_ports is None or harm.stalled or not harm.fits(len(data)):
            return
        if channel == 0 and harm.loses():
            return
        if harm.clock_s:
            data = (rtp_shifted if channel == 0 else rtcp_shifted)(data, harm.clock_s)
        self._to_service[channel].sendto(data, (HOST, self._service_ports[channel]))

    def _from_service(self, channel: int, data: bytes) -> None:
        if self._peer_ports is not None and not self._harm.stalled:
            self._to_peer[channel].sendto(data, (HOST, self._peer_ports[channel]))


def _ports(pair: list[asyncio.DatagramTransport]) -> bytes:
    return b"%d-%d" % tuple(transport.get_extra_info("sockname")[1] for transport in pair)

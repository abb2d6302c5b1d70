"""A relay between one camera and the service, that can be told to be a bad network.

In: TCP connections to a port of ours. Out: the same, carried to `target`, whole RTSP messages at a time, with what `Harm` says done to
them. A camera that is pulled from stands behind `target`; one that pushes connects to us, and the service is the target.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ov2_bench.chaos.datagrams import DatagramLeg
from ov2_bench.chaos.harm import Harm
from ov2_bench.chaos.wire import Splitter, interleaved_shifted, is_media, is_rtp
from ov2_bench.testbed.ports import HOST

READ_BYTES = 16 << 10
SLOW_READ_BYTES = 512
REMEMBERED = 256
"""Newest links whose times are kept."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends a reset."""

Side = Literal["service", "peer"]


@dataclass(slots=True, eq=False)
class Link:
    """One connection through the relay. `closed_s` is None while it lives; `reached`: whether the target took it."""

    opened_s: float
    closed_s: float | None = None
    reached: bool = False
    ends: dict[Side, asyncio.StreamWriter] = field(default_factory=dict)
    leg: DatagramLeg | None = None
    shut: set[Side] = field(default_factory=set)
    """Sides that have been told that nothing more comes."""
    cutting: bool = False


class Relay:
    """`await start()`, harm it, `await stop()`. `links`: the newest connections, oldest first.

    `pushed`: the camera connects to us. `harm` is read at every packet.
    """

    def __init__(
        self, target_port: int, *, pushed: bool = False, seed: int = 0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.harm = Harm(seed, monotonic)
        self.links: deque[Link] = deque(maxlen=REMEMBERED)
        self.port = 0
        self.target_port = target_port
        self._monotonic = monotonic
        self._near: Side = "peer" if pushed else "service"
        self._far: Side = "service" if pushed else "peer"
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self.harm.flow()
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Cut every connection off, at once."""
        for link in self._open():
            _reset_all(link)

    def cut(self) -> None:
        """Let half of the next media packet through, then cut off; media over UDP have no middle, and are cut off at once."""
        for link in self._open():
            link.cutting = True
            if link.leg is not None and link.leg.in_use:
                _reset_all(link)

    def half_close(self, side: Side) -> None:
        """Tell one side that nothing more comes, and keep taking what it sends."""
        for link in self._open():
            _shut(link, side)

    def lives(self) -> list[tuple[float, float]]:
        """When the service's connections that have ended began and ended, in the order of their ends; attempts that were thrown out
        among them."""
        ended = [link for link in self.links if link.reached or self._near == "service"]
        return sorted(((link.opened_s, link.closed_s) for link in ended if link.closed_s is not None), key=lambda life: life[1])

    def first_opened_since(self, moment_s: float) -> float | None:
        """When somebody first knocked after `moment_s`."""
        return next((link.opened_s for link in self.links if link.opened_s >= moment_s), None)

    def _open(self) -> list[Link]:
        return [link for link in self.links if link.closed_s is None]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        leg = DatagramLeg(self.harm)
        link = Link(self._monotonic(), ends={self._near: writer}, leg=leg)
        self.links.append(link)
        try:
            with contextlib.suppress(OSError):
                await self._carry_both(link, reader, leg)
        finally:
            link.closed_s = self._monotonic()
            link.leg = None
            leg.close()
            _reset_all(link)

    async def _carry_both(self, link: Link, reader: asyncio.StreamReader, leg: DatagramLeg) -> None:
        if self.harm.refusing:
            return
        await self.harm.open()
        far_reader, link.ends[self._far] = await asyncio.open_connection(HOST, self.target_port)
        link.reached = True
        ways = [self._carry(link, reader, self._far, leg), self._carry(link, far_reader, self._near, leg)]
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, link: Link, reader: asyncio.StreamReader, to: Side, leg: DatagramLeg) -> None:
        """One direction, until its end; the other side then hears of it."""
        splitter = Splitter()
        while True:
            await self.harm.open()
            data = await reader.read(READ_BYTES if self.harm.bytes_per_s is None else SLOW_READ_BYTES)
            if not data:
                break
            await self.harm.open()
            for message in splitter.push(data):
                await self._pass(link, await leg.rewrite(message) if not is_media(message) else message, to)
        _shut(link, to)

    async def _pass(self, link: Link, message: bytes, to: Side) -> None:
        if to in link.shut:
            return
        if to == "service" and is_media(message):
            if is_rtp(message) and self.harm.loses():
                return
            if self.harm.clock_s:
                message = interleaved_shifted(message, self.harm.clock_s)
            await self.harm.pace(len(message))
        writer = link.ends[to]
        if link.cutting and is_media(message):
            writer.write(message[: len(message) // 2])
            await writer.drain()
            raise ConnectionAbortedError("cut in the middle of a packet")
        writer.write(message)
        await writer.drain()


def _shut(link: Link, side: Side) -> None:
    writer = link.ends.get(side)
    if writer is not None and side not in link.shut:
        link.shut.add(side)
        with contextlib.suppress(OSError):  # it has gone already
            writer.write_eof()


def _reset_all(link: Link) -> None:
    for writer in link.ends.values():
        _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    own = writer.get_extra_info("socket")
    if own is not None and not writer.transport.is_closing():
        with contextlib.suppress(OSError):
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()

"""One camera of a chaos run: its peer, its relay, and the faults injected into both.

In: a `Fault`. Out: the moment from which nothing but the service keeps the picture away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ov2_bench.chaos.film import LoopedFilm
from ov2_bench.chaos.peer import PushPeer, RtspPeer
from ov2_bench.chaos.relay import Relay
from ov2_bench.chaos.schedule import HOUR_S, Fault, FaultKind
from ov2_bench.testbed.ports import free_port

SLOW_SHARE = 0.3
"""Of what the film needs: the rest never fits through."""


@dataclass(slots=True, kw_only=True)
class CameraUnderTest:
    """`film_at`: which of `films` it plays. `config`: its entry in the service's configuration."""

    name: str
    kind: str
    films: tuple[LoopedFilm, ...]
    peer: RtspPeer | PushPeer
    relay: Relay
    config: dict[str, Any]
    monotonic: Callable[[], float]
    film_at: int = 0

    @property
    def is_pushed(self) -> bool:
        return isinstance(self.peer, PushPeer)

    async def start(self) -> None:
        await self.peer.start(self.films[self.film_at])

    async def stop(self) -> None:
        await self.peer.kill()
        await self.relay.stop()

    async def inject(self, fault: Fault) -> float:
        """Returns when the camera is back: the moment, by `monotonic`. A publisher that lost its connection is back when it first
        knocks again, which `back_s` finds out."""
        match fault.kind:
            case FaultKind.KILL | FaultKind.RESIZE:
                if fault.kind is FaultKind.RESIZE:
                    self.film_at = (self.film_at + 1) % len(self.films)
                await self._restart(fault.lasts_s)
            case FaultKind.STALL:
                self.relay.harm.stall()
                await asyncio.sleep(fault.lasts_s)
                self.relay.harm.flow()
            case FaultKind.SLOW:
                self.relay.harm.bytes_per_s = SLOW_SHARE * self.films[self.film_at].bytes_per_s
                await asyncio.sleep(fault.lasts_s)
                self.relay.harm.bytes_per_s = None
            case FaultKind.HALF_CLOSE:
                self.relay.half_close("service" if fault.dice < 0.5 else "peer")
            case FaultKind.CUT:
                self.relay.cut()
            case FaultKind.CLOCK:
                self.relay.harm.clock_s += HOUR_S if fault.dice < 0.5 else -HOUR_S
        return self.monotonic()

    def back_s(self, began_s: float, healed_s: float) -> float:
        """When the camera was there again, after a fault that began at `began_s` and was over at `healed_s`."""
        knocked_s = self.relay.first_opened_since(began_s) if self.is_pushed else None
        return max(healed_s, knocked_s or healed_s)

    async def _restart(self, down_s: float) -> None:
        """Whoever connects meanwhile is thrown out, as by a machine that has no such port."""
        await self.peer.kill()
        self.relay.harm.refusing = True
        self.relay.reset()
        await asyncio.sleep(down_s)
        self.relay.harm.refusing = False
        await self.start()


async def pulled(
    name: str, films: tuple[LoopedFilm, ...], *, seed: int, monotonic: Callable[[], float], **config: Any
) -> CameraUnderTest:
    """A camera behind GStreamer's RTSP server. `config`: more settings of the camera."""
    peer = RtspPeer()
    await peer.start(films[0])
    relay = Relay(peer.port, seed=seed, monotonic=monotonic)
    await relay.start()
    config = {"url": f"rtsp://127.0.0.1:{relay.port}/cam", **config}
    return CameraUnderTest(name=name, kind="rtsp", films=films, peer=peer, relay=relay, config=config, monotonic=monotonic)


async def pushed(
    name: str, films: tuple[LoopedFilm, ...], *, seed: int, monotonic: Callable[[], float], **config: Any
) -> CameraUnderTest:
    """A publisher, for which the service listens."""
    port = free_port()
    relay = Relay(port, pushed=True, seed=seed, monotonic=monotonic)
    await relay.start()
    peer = PushPeer(f"rtsp://127.0.0.1:{relay.port}/{name}")
    await peer.start(films[0])
    config = {"url": f"listen:rtsp://127.0.0.1:{port}/{name}", **config}
    return CameraUnderTest(name=name, kind="push", films=films, peer=peer, relay=relay, config=config, monotonic=monotonic)

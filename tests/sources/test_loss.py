"""Lost packets: damaged pictures are counted and skipped, groups go on, nothing raises. Over the relay of `ov2 bench chaos`, with the real
service and GStreamer's RTSP server."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ov2_bench.chaos.film import LoopedFilm, world_film
from ov2_bench.chaos.harm import Harm
from ov2_bench.chaos.peer import RtspPeer
from ov2_bench.chaos.relay import Relay
from ov2_bench.chaos.service import PolledService

pytestmark = [pytest.mark.usefixtures("rtsp_server"), pytest.mark.timeout(300)]

LOSSES = (0.01, 0.05, 0.2)
WAIT_S = 180.0
GROUPS = 3
DAMAGES = {"damaged_frame", "damaged_packet", "damaged", "no_keyframe", "late_piece"}
"""Reasons under which a damaged picture may be counted."""
READER = """
import json, sys, av
with av.open(sys.argv[1], options={"rtsp_transport": "udp"}, timeout=20) as container:
    packets = container.demux(container.streams.video[0])
    sizes = [next(packets).size for _ in range(int(sys.argv[2]))]
print(json.dumps(sizes))
"""
"""A client that asks for UDP."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> LoopedFilm:
    """Pictures of several packets each."""
    return world_film(tmp_path_factory.mktemp("film"), width=640, height=360, fps=15)


@pytest.fixture(scope="module")
def lossy_run(film: LoopedFilm, tmp_path_factory: pytest.TempPathFactory) -> dict[float, dict[str, Any]]:
    """What `GET /v1/cameras` says of one camera per loss, once each has lost something and closed some groups since; with `exceptions`,
    `dropped` and `passed` packets beside it."""
    return asyncio.run(run_lossy(film, tmp_path_factory.mktemp("loss")))


async def run_lossy(film: LoopedFilm, out: Path) -> dict[float, dict[str, Any]]:
    peer = RtspPeer()
    await peer.start(film)
    relays = {loss: Relay(peer.port, seed=round(1000 * loss)) for loss in LOSSES}
    try:
        for loss, relay in relays.items():
            await relay.start()
            relay.harm.loss = loss
        names = {loss: f"loss{round(100 * loss)}" for loss in LOSSES}
        config = {
            # pictures that are late because this machine is busy are not lost
            "cameras": {
                names[loss]: {"url": f"rtsp://127.0.0.1:{relay.port}/cam", "stale_s": 30} for loss, relay in relays.items()
            },
            "tokenizer": {"token_rate": 8, "t_max_s": 3.0},
        }
        async with PolledService(config, out) as service:
            told = await until_lost_and_grouped(service)
            exceptions = service.tracebacks()
    finally:
        await peer.kill()
        for relay in relays.values():
            await relay.stop()
    return {
        loss: {**told[names[loss]], "exceptions": exceptions, "dropped": relay.harm.dropped, "passed": relay.harm.passed}
        for loss, relay in relays.items()
    }


async def until_lost_and_grouped(service: PolledService) -> dict[str, dict[str, Any]]:
    until_s = time.monotonic() + WAIT_S
    while True:
        told = {status["name"]: status for status in await service.get("/v1/cameras")}
        enough = [status["groups"] >= GROUPS and DAMAGES & set(status["drops"]) for status in told.values()]
        if all(enough) or time.monotonic() > until_s:
            return told


@pytest.mark.parametrize("loss", LOSSES)
def test_with_packets_lost_damaged_pictures_are_counted_and_groups_go_on(
    lossy_run: dict[float, dict[str, Any]], loss: float
) -> None:
    told = lossy_run[loss]
    assert told["dropped"] > 0
    assert sum(count for reason, count in told["drops"].items() if reason in DAMAGES) > 0
    assert told["groups"] >= GROUPS
    assert told["frames"] > told["drops"].get("damaged_frame", 0)


@pytest.mark.parametrize("loss", LOSSES)
def test_with_packets_lost_nothing_raises_and_nobody_reconnects(lossy_run: dict[float, dict[str, Any]], loss: float) -> None:
    told = lossy_run[loss]
    assert told["exceptions"] == 0
    assert not any(reason.startswith("internal") for reason in told["drops"])
    assert told["state"] in ("live", "degraded")
    assert told["reconnects"] == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_the_share_that_was_asked_for(loss: float) -> None:
    harm = Harm(seed=1, monotonic=time.monotonic)
    harm.loss = loss
    assert sum(harm.loses() for _ in range(20_000)) / 20_000 == pytest.approx(loss, rel=0.2)
    assert harm.dropped + harm.passed == 20_000


def test_over_udp_the_relay_loses_the_share_it_was_told_to(film: LoopedFilm) -> None:
    """Ports in `SETUP` and its answer are the relay's, so media cannot go around it."""

    async def main() -> tuple[int, int]:
        peer = RtspPeer()
        await peer.start(film)
        relay = Relay(peer.port, seed=4)
        await relay.start()
        relay.harm.loss = 0.2
        try:
            url = f"rtsp://127.0.0.1:{relay.port}/cam"
            client = await asyncio.create_subprocess_exec(
                sys.executable, "-c", READER, url, "60", stdout=asyncio.subprocess.PIPE
            )
            sizes, _ = await asyncio.wait_for(client.communicate(), WAIT_S)
            assert len(json.loads(sizes)) == 60
        finally:
            await peer.kill()
            await relay.stop()
        return relay.harm.dropped, relay.harm.passed

    dropped, passed = asyncio.run(main())
    assert dropped / (dropped + passed) == pytest.approx(0.2, rel=0.5)

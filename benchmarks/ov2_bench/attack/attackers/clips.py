"""Clips: ranges that are none, many at once, and clients that never read.

In: a scene, a number of cases. Out: cases in its ledger; what stays in the temporary folder shows in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from ov2_bench.attack.judgement import answered, fair, keeps
from ov2_bench.attack.scene import Scene
from ov2_bench.attack.target import CAMERA
from ov2_bench.attack.wire import Reply, Wire, request_bytes

CLIP = f"/v1/cameras/{CAMERA}/clip.mp4?start=-600&end=-0.5"
RANGES = (
    "bytes=5-1", "bytes=999999999-", "bytes=-0", "bytes=abc", "bytes=", "items=0-1", "bytes=0-0,2-3,5-8", "bytes=" + ",".join(100 * ["0-1"]),
    "bytes=0-99999999999999999999", "bytes=-99999999999", "bytes=--5", "bytes=0-1;x", "bytes 0-1", "=", "bytes=0-,0-,0-,0-",
    "bytes=18446744073709551616-",
)  # fmt: skip
TIMES = (
    "start=nan&end=nan", "start=-1e400&end=-1", "start=-10&end=-20", "start=0&end=9e99", "start=-30", "start=&end=", "start=2026-13-45&end=-1",
    "start=-10&start=-5&end=-1", "start=%00&end=%ff", "start=-0&end=-0", "start=" + 500 * "9" + "&end=-1",
)  # fmt: skip
HOLD_S = 6.0
CLIP_S = 60.0
"""An honest client tries so long for a clip while others hold all places."""
SMALL_BUFFER = 2048


async def ranges(scene: Scene, count: int) -> None:
    judge = keeps([str(scene.target.data.resolve()), str(scene.target.temporary.resolve())])
    chosen = [("ranges", each) for each in RANGES] + [("times", each) for each in TIMES]
    scene.rng.shuffle(chosen)
    for kind, value in chosen[:count]:
        if kind == "ranges":
            await scene.case("GET", CLIP, what=f"a clip with Range: {value[:60]}", headers={"Range": value}, judge=judge)
        else:
            path = CLIP.partition("?")[0] + "?" + value
            await scene.case("GET", path, what=f"a clip of {value[:60]}", judge=judge)
    await _honest_clip(scene, "bad ranges")


async def parallel(scene: Scene, count: int) -> None:
    """All at once: some are cut, the rest are told when to come again."""
    replies = await asyncio.gather(*(_one(scene) for _ in range(count)))
    for reply in replies:
        await scene.judged(fair(reply), f"one of {count} clips at once", is_silent=not reply.status)
    cut = sum(reply.status in (200, 206) for reply in replies)
    await scene.judged("" if cut else "none was cut", f"{count} clips at once", is_silent=False)
    await scene.honest(f"{count} clips at once")
    await _honest_clip(scene, f"{count} clips at once")


async def never_read(scene: Scene, count: int) -> None:
    """Clients that ask and do not listen hold nobody up."""
    request = request_bytes("GET", CLIP, scene.target.headers())
    sockets = []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):
                sockets.append(await asyncio.to_thread(deaf, scene.target.host, scene.target.port, request))
        await asyncio.sleep(HOLD_S * scene.holds)
        await scene.honest(f"{count} clips that nobody reads")
        await scene.case(
            "GET", f"/v1/cameras/{CAMERA}", what=f"a camera's state beside {count} clips that nobody reads", judge=answered
        )
    finally:
        for each in sockets:
            each.close()
    await _honest_clip(scene, f"{count} clips that nobody reads")


def deaf(host: str, port: int, request: bytes) -> socket.socket:
    """A connection with next to no buffer, that has asked."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    connection.settimeout(5.0)
    connection.connect((host, port))
    connection.sendall(request)
    return connection


async def _one(scene: Scene) -> Reply:
    wire = Wire(scene.target.host, scene.target.port, answer_s=CLIP_S)
    reply = await wire.ask(request_bytes("GET", CLIP, scene.target.headers()))
    await wire.close()
    return reply


async def _honest_clip(scene: Scene, after: str) -> None:
    until_s, reply = time.monotonic() + CLIP_S, Reply(problem="not tried")
    while time.monotonic() < until_s:
        reply = await _one(scene)
        if reply.status not in (0, 503):
            break
        await asyncio.sleep(min(2.0, float(reply.headers.get("retry-after", 0.5))))
    await scene.judged(answered(reply), f"an honest clip after {after}", is_silent=not reply.status)

"""What an honest house does with the service: everything once or a few times, so that what it holds afterwards is what it holds in use.

In: a target. Out: nothing; the libraries are loaded, buffers have their size.
"""

from __future__ import annotations

import asyncio

from ov2_bench.attack.attackers.webrtc import SDP, offer_bytes
from ov2_bench.attack.target import CAMERA, Target
from ov2_bench.attack.wire import Wire, request_bytes

TIMES = 3
AT_ONCE = 4
READ = (
    "/v1/cameras", f"/v1/cameras/{CAMERA}", f"/v1/cameras/{CAMERA}/timeline", f"/v1/cameras/{CAMERA}/canvases.png",
    f"/v1/cameras/{CAMERA}/snapshot.jpg", f"/v1/cameras/{CAMERA}/clip.mp4?start=-600&end=-0.5", "/v1/watches", "/v1/events", "/v1/status",
    "/v1/config/schema.json", "/openapi.json", "/readyz", f"/live/{CAMERA}", "/publish/phone",
)  # fmt: skip


async def warm_up(target: Target) -> None:
    for _ in range(TIMES):
        await asyncio.gather(*(target.honest() for _ in range(AT_ONCE)))
        await asyncio.gather(*(_read(target, path) for path in READ))
        await _watch_live(target)
        await target.keep_watch(enabled=False)
        await target.keep_watch()


async def _read(target: Target, path: str) -> None:
    wire = Wire(target.host, target.port)
    await wire.ask(request_bytes("GET", path, target.headers()))
    await wire.close()


async def _watch_live(target: Target) -> None:
    wire = Wire(target.host, target.port)
    headers = {**target.headers(), **SDP}
    reply = await wire.ask(request_bytes("POST", f"/whep/{CAMERA}", headers, offer_bytes("recvonly")))
    if reply.status == 201:
        await wire.ask(request_bytes("DELETE", reply.headers["location"], target.headers()))
    await wire.close()

"""Connections that are slow, idle, too large, or never read.

In: a scene, a number of connections. Out: cases in its ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from ov2_bench.attack.attackers.clips import deaf
from ov2_bench.attack.judgement import fair, refused_or_closed
from ov2_bench.attack.scene import Scene
from ov2_bench.attack.target import CAMERA
from ov2_bench.attack.wire import Reply, Wire, read_reply, request_bytes

DEADLINE_S = 40.0
"""A connection that is slow for so long should have been closed."""
DRIP_S = 1.0
LARGE_BYTES = 50 << 20
HOLD_S = 5.0
NUM_EVENTS = 20
NEWCOMER = 500
"""So many followers are more than any service takes."""


async def slow(scene: Scene, count: int) -> None:
    """Headers and bodies byte by byte: closed after a while, each."""
    ask = request_bytes(
        "POST", f"/v1/cameras/{CAMERA}/ask", {**scene.target.headers(), "Content-Type": "application/json"}, b"x" * 1000
    )
    openings = {
        "headers": f"GET /v1/cameras HTTP/1.1\r\nHost: {scene.target.host}\r\nX-Slow: ".encode(),
        "a body": ask[: ask.index(b"\r\n\r\n") + 4],
        "the first line": b"G",
    }
    names = [scene.rng.choice(list(openings)) for _ in range(count)]
    problems = asyncio.gather(*(_drip(scene, openings[name]) for name in names))
    await asyncio.sleep(DRIP_S)
    await scene.honest(f"{count} slow connections")
    for name, problem in zip(names, await problems, strict=True):
        await scene.judged(problem, f"{name}, a byte a second", is_silent=False)
    await scene.honest(f"{count} slow connections that are gone")


async def _drip(scene: Scene, opening: bytes) -> str:
    """What is wrong: it was still open in the end."""
    writer = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(scene.target.host, scene.target.port)
            writer.write(opening)
            ended = asyncio.create_task(reader.read(1 << 16))
            while not ended.done():
                await asyncio.wait([ended], timeout=DRIP_S)
                writer.write(b"a")
            return ""
    except TimeoutError:
        return f"still open after {DEADLINE_S:.0f} s"
    except OSError:
        return ""
    finally:
        if writer is not None:
            writer.close()


async def large(scene: Scene, count: int) -> None:
    """Bodies of 50 MB: refused before they are read."""
    targets = (("POST", f"/v1/cameras/{CAMERA}/ask"), ("PUT", f"/v1/cameras/{CAMERA}/watches/large"))
    for number in range(count):
        method, path = targets[number % 2]
        is_chunked = scene.rng.random() < 0.5
        reply, sent = await _send_large(scene, method, path, is_chunked=is_chunked)
        what = f"{method} with 50 MB, {'chunked' if is_chunked else 'announced'}"
        await scene.judged(refused_or_closed(413)(reply), f"{what}, {sent >> 20} MB taken", is_silent=not reply.status)
    await scene.honest("bodies of 50 MB")


async def _send_large(scene: Scene, method: str, path: str, *, is_chunked: bool) -> tuple[Reply, int]:
    """The answer, and how much was taken before it."""
    length = {"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": str(LARGE_BYTES)}
    head = request_bytes(method, path, {**scene.target.headers(), "Content-Type": "application/json", **length})
    if is_chunked:
        head = head.replace(b"Content-Length: 0\r\n", b"")
    block, sent = b" " * (1 << 16), 0
    reader, writer = await asyncio.open_connection(scene.target.host, scene.target.port)
    try:
        writer.write(head)
        answer = asyncio.create_task(read_reply(reader))
        with contextlib.suppress(OSError):
            while sent < LARGE_BYTES and not answer.done():
                writer.write(b"%x\r\n%s\r\n" % (len(block), block) if is_chunked else block)
                await writer.drain()
                sent += len(block)
            writer.write(b"0\r\n\r\n" if is_chunked else b"")
        try:
            return (await asyncio.wait_for(answer, DEADLINE_S))[0], sent
        except (OSError, EOFError):
            return Reply(problem="closed without an answer"), sent
        except TimeoutError:
            return Reply(problem=f"no answer within {DEADLINE_S:.0f} s"), sent
    finally:
        writer.close()


async def followers(scene: Scene, count: int) -> None:
    """Those who follow the journal and never read: a part is let in, and what happens meanwhile holds nobody up."""
    request = request_bytes("GET", "/v1/events/stream?after=0", scene.target.headers())
    sockets, heads = [], []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):
                sockets.append(await asyncio.to_thread(deaf, scene.target.host, scene.target.port, request))
        for number in range(NUM_EVENTS):
            await scene.target.keep_watch(enabled=number % 2 == 1)
        await asyncio.sleep(HOLD_S * scene.holds)
        heads = await asyncio.to_thread(lambda: [_first_line(each) for each in sockets])
    finally:
        for each in sockets:
            each.close()
    for reply in heads:
        await scene.judged(fair(reply), f"one of {count} followers", is_silent=False)
    if count >= NEWCOMER:
        taken = sum(reply.status == 200 for reply in heads)
        await scene.judged("" if taken < count else "all were taken", f"{count} followers that never read", is_silent=False)
    await scene.target.keep_watch()
    await scene.honest(f"{count} followers that never read")


def _first_line(connection: object) -> Reply:
    """The status of an answer that has come, with its headers; what was dropped is one that never came."""
    import socket

    assert isinstance(connection, socket.socket)
    try:
        head = connection.recv(1 << 12)
    except OSError:
        return Reply(200)
    if not head:
        return Reply(200)
    first, *lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Reply(int(first.split(" ", 2)[1]), headers)


async def idle(scene: Scene, count: int) -> None:
    """Connections that say nothing at all: an honest client is served beside them."""
    began_s, writers = time.monotonic(), []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):
                writers.append((await asyncio.open_connection(scene.target.host, scene.target.port))[1])
        await scene.honest(f"{count} idle connections")
    finally:
        for writer in writers:
            writer.close()
    wire = Wire(scene.target.host, scene.target.port)
    reply = await wire.ask(request_bytes("GET", "/v1/cameras", scene.target.headers()))
    await wire.close()
    await scene.judged(
        fair(reply), f"a request after {count} idle connections, {time.monotonic() - began_s:.0f} s", is_silent=not reply.status
    )

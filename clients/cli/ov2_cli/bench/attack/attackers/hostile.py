"""A camera that means harm: it serves what never ends, as fast as it is taken.

In: a scene, a number of films. Out: cases in its ledger: the camera's reader stays small, the service answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from ov2_cli.bench.attack.scene import Scene
from ov2_cli.processes.ports import HOST

FILM_S = 12.0
"""How long each is served. It takes a reader of no bounds to well over a gigabyte."""
COME_S = 40.0
"""The service comes back to a camera within its longest pause, once the reader that hung is ended."""
READER = "stream.sources.reader"
LARGEST_READER_BYTES = 600 << 20
"""PyAV's code, and an access unit of 16 MiB with its copies."""
BLOCK = 1 << 18
SPS, PPS, SLICE = (
    b"\x00\x00\x00\x01" + bytes.fromhex(text)
    for text in ("6742c01fda014016e840000003004000000f03c60ca8", "68ce3c80", "6588840010")
)
HUGE_SPS = b"\x00\x00\x00\x01" + bytes.fromhex("674d0028f4027200271d0a0900")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: video/h264\r\nConnection: close\r\n\r\n"
Blocks = AsyncIterator[bytes]


async def strike(scene: Scene, count: int) -> None:
    films: list[tuple[str, Callable[[Scene], Blocks]]] = [
        ("a NAL that never ends", _endless_nal), ("headers that never end", _endless_headers), ("noise", _noise),
        ("pictures without end", _endless_slices), ("parameter sets without end", _endless_sets),
    ]  # fmt: skip
    first, *rest = films
    scene.rng.shuffle(rest)
    for name, film in [first, *rest][:count]:
        await scene.judged(await _serve(scene, film), f"a camera that sends {name}", is_silent=True)
        await scene.honest(f"a camera that sends {name}")


async def _serve(scene: Scene, film: Callable[[Scene], Blocks]) -> str:
    """Play it to whoever comes; what is wrong with how that was taken."""
    came = asyncio.Event()
    num_bytes = 0
    writers: list[asyncio.StreamWriter] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal num_bytes
        writers.append(writer)
        came.set()
        with contextlib.suppress(OSError):
            async for block in film(scene):
                writer.write(block)
                await writer.drain()
                num_bytes += len(block)
        writer.close()

    server = await asyncio.start_server(play, HOST, scene.hostile_port)
    async with server:
        try:
            await asyncio.wait_for(came.wait(), COME_S)
        except TimeoutError:
            return f"expected the service to come within {COME_S:.0f} s"
        largest = await _largest_child(scene.target.pid, FILM_S * scene.holds)
        server.close()
        for writer in writers:
            writer.transport.abort()  # a film without end ends only so
    if largest > LARGEST_READER_BYTES:
        return f"a process of the service grew to {largest >> 20} MiB on {num_bytes >> 20} MiB that were sent"
    return ""


async def _largest_child(pid: int, seconds: float) -> int:
    """Resident bytes of the service's largest reader, at most, over that time. It ends early where that is far too much. A process that is
    just forked still has the memory and the command line of the service, and is no reader yet."""
    import psutil

    until_s, largest = time.monotonic() + seconds, 0
    while time.monotonic() < until_s and largest < 2 * LARGEST_READER_BYTES:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if READER in child.cmdline():
                        largest = max(largest, child.memory_info().rss)
        await asyncio.sleep(0.1)
    return largest


async def _endless_nal(scene: Scene) -> Blocks:
    yield OK + SPS + PPS + SLICE
    block = bytes(scene.rng.randint(1, 255) for _ in range(1 << 10)) * (BLOCK >> 10)
    while True:
        yield block


async def _endless_headers(scene: Scene) -> Blocks:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X-Header: " + b"a" * BLOCK


async def _noise(scene: Scene) -> Blocks:
    yield OK
    while True:
        yield scene.rng.randbytes(BLOCK)


async def _endless_slices(scene: Scene) -> Blocks:
    yield OK + SPS + PPS
    while True:
        yield (SLICE + scene.rng.randbytes(60)) * (BLOCK >> 6)


async def _endless_sets(scene: Scene) -> Blocks:
    yield OK + HUGE_SPS + PPS
    while True:
        yield (SPS + PPS + HUGE_SPS) * (BLOCK // 64)

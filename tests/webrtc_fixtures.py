"""A WHIP and WHEP desk behind its real HTTP server, and those who talk to it. No test in here."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from fractions import Fraction
from typing import Any

import av
import httpx
import numpy as np
import pytest
import uvicorn
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError
from fastapi import FastAPI
from pydantic import SecretStr

from stream.errors import SourceError
from stream.serve.bearer import BearerGuard
from stream.sources.sample import Sample
from stream.sources.timekeeper import Timekeeper
from stream.sources.wallclock import Live
from stream.webrtc.desk import WebRtcDesk
from stream.webrtc.routes import webrtc_routes
from stream.webrtc.settings import WebRtcSettings

WAIT_S = 30.0
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


class Loop:
    """An event loop in a thread of its own; `run` waits for a coroutine from outside."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def start(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Any) -> Any:
        return self.start(coroutine).result(WAIT_S)

    def close(self, patience_s: float = 5.0) -> None:
        """Tasks that are left must end by themselves in so many seconds, else this raises `TimeoutError`; 0 cancels them."""
        self.run(_finish_tasks(patience_s))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)
        self.loop.close()


async def _finish_tasks(patience_s: float) -> None:
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if not patience_s:
        for task in left:
            task.cancel()
    await asyncio.wait_for(asyncio.gather(*left, return_exceptions=True), patience_s or 5.0)


class Server:
    """The desk with its routes on a free port. `door` names cameras that are published to, `view` others."""

    def __init__(
        self,
        doors: tuple[str, ...] = ("phone",),
        views: tuple[str, ...] = ("yard",),
        tokens: tuple[str, ...] = (),
        **given: Any,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.desk = WebRtcDesk(WebRtcSettings(**given), refused=self.refused)
        for name in doors:
            self.desk.door(name)
        for name in (*doors, *views):
            self.desk.view(name)
        app = FastAPI()
        app.add_middleware(BearerGuard, tokens=[SecretStr(token) for token in tokens], refused=self.refused)
        app.include_router(webrtc_routes(self.desk))
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        self.loop = Loop()
        self._serving = self.loop.start(self._server.serve())
        until(lambda: self._server.started)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, timeout=WAIT_S, **more)

    def post(self, path: str, body: str | bytes = b"", **headers: str) -> httpx.Response:
        return self.request(
            "POST", path, content=body, headers={**SDP, **{key.replace("_", "-"): text for key, text in headers.items()}}
        )

    def close(self) -> None:
        self.loop.run(self.desk.close())
        self._server.should_exit = True
        self._serving.result(WAIT_S)
        self.loop.close()


class Reader:
    """What a camera's supervisor does, reduced: connects again and again, keeps what comes and shows it to those who watch."""

    def __init__(self, server: Server, name: str = "phone") -> None:
        self.samples: list[Sample] = []
        self.ends: list[str] = []
        self.num_connections = 0
        self.skipped: Counter[str] = Counter()
        self._view = server.desk.view(name)
        self._times = Timekeeper(Live())
        self._door = server.desk.door(name)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                connection = self._door.connect()
            except TimeoutError:
                continue
            except SourceError:
                return
            self.num_connections += 1
            try:
                while (sample := connection.get(WAIT_S)) is not None:
                    self.samples.append(sample)
                    self._view.push(self._times.packet(sample))
                self.ends.append("")
            except (SourceError, TimeoutError) as error:
                self.ends.append(str(error))
            self.skipped = connection.skipped
            self._times.reconnect(0.5)
            connection.close()

    def wait(self, num_samples: int) -> list[Sample]:
        """At least so many samples, counted from the beginning."""
        until(lambda: len(self.samples) >= num_samples)
        return list(self.samples)

    def join(self) -> None:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


class Moving(VideoStreamTrack):
    """A picture that moves, 30 times a second."""

    def __init__(self, width: int = 320, height: int = 240) -> None:
        super().__init__()
        self._still = np.random.default_rng(0).integers(60, 120, (height, width, 3), dtype=np.uint8)

    async def recv(self) -> av.VideoFrame:
        pts, time_base = await self.next_timestamp()
        picture = self._still.copy()
        left = pts // 1500 % (picture.shape[1] - 60)
        picture[40:100, left : left + 60] = (220, 40, 40)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Publisher:
    """aiortc as a WHIP client. `answer` is the response to its offer; it sends when that is 201."""

    def __init__(
        self, server: Server, path: str = "/whip/phone", *, track: Any = None, codec: str = "video/H264", token: str = ""
    ) -> None:
        self._server = server
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.loop = Loop()
        self.answer: httpx.Response = self.loop.run(self._connect(path, track, codec))

    async def _connect(self, path: str, track: Any, codec: str) -> httpx.Response:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.sender = self.peer.addTrack(track or Moving())
        transceiver = self.peer.getTransceivers()[0]
        transceiver.direction = "sendonly"
        transceiver.setCodecPreferences(
            [each for each in RTCRtpSender.getCapabilities("video").codecs if each.mimeType == codec]
        )
        await self.peer.setLocalDescription(await self.peer.createOffer())
        self.offer = self.peer.localDescription.sdp
        async with httpx.AsyncClient(timeout=WAIT_S) as client:
            answer = await client.post(self._server.url + path, content=self.offer, headers={**SDP, **self.headers})
        if answer.status_code == 201:
            await self.peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        return answer

    @property
    def session(self) -> str:
        return self.answer.headers["location"]

    def delete(self) -> httpx.Response:
        return self._server.request("DELETE", self.session, headers=self.headers)

    def vanish(self) -> None:
        """Stop sending without a word, as a phone that goes out of reach."""

        async def drop(data: bytes) -> None: ...

        transport = self.sender.transport.transport
        transport._send = transport._connection.send = drop
        transport._connection.request_received = lambda *given: None

    def lose(self, share: float, seed: int = 0) -> None:
        """From now on, so many of the packets with pictures in them never arrive."""
        transport, dice = self.sender.transport.transport, random.Random(seed)
        send = transport._send

        async def maybe(data: bytes) -> None:
            if dice.random() >= share or not is_media(data):
                await send(data)

        transport._send = maybe

    def count_keyframe_wishes(self) -> list[float]:
        """When it was asked for a keyframe, from now on."""
        asked: list[float] = []
        make = self.sender._send_keyframe

        def note() -> None:
            asked.append(time.monotonic())
            make()

        self.sender._send_keyframe = note
        return asked

    def close(self) -> None:
        if not self.loop.loop.is_closed():
            self.loop.run(self.peer.close())
            self.loop.close(patience_s=0)  # aiortc leaves tasks behind where it is closed while it connects


class Watcher:
    """aiortc as a WHEP client that counts the pictures it decodes."""

    def __init__(self, server: Server, name: str = "phone") -> None:
        self.frames: list[av.VideoFrame] = []
        self.loop = Loop()
        self.answer: httpx.Response = self.loop.run(self._connect(server.url + f"/whep/{name}"))

    async def _connect(self, url: str) -> httpx.Response:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.receiver = self.peer.addTransceiver("video", direction="recvonly").receiver
        await self.peer.setLocalDescription(await self.peer.createOffer())
        async with httpx.AsyncClient(timeout=WAIT_S) as client:
            answer = await client.post(url, content=self.peer.localDescription.sdp, headers=SDP)
        if answer.status_code == 201:
            await self.peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
            self._reading = asyncio.ensure_future(self._read())
        return answer

    async def _read(self) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                self.frames.append(await self.receiver.track.recv())

    def close(self) -> None:
        if not self.loop.loop.is_closed():
            self.loop.run(self.peer.close())
            self.loop.close(patience_s=0)  # aiortc leaves tasks behind where it is closed while it connects


def is_media(datagram: bytes) -> bool:
    """SRTP, neither RTCP nor DTLS nor STUN (RFC 7983, RFC 5761 4)."""
    return 128 <= datagram[0] < 192 and not 192 <= datagram[1] <= 223


def until(test: Callable[[], Any], wait_s: float = WAIT_S) -> Any:
    """Wait for something that happens in another thread or process."""
    deadline, pause = time.monotonic() + wait_s, threading.Event()
    while not (result := test()):
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.01)
    return result


def decoded(samples: list[Sample]) -> list[av.VideoFrame]:
    """What PyAV makes of samples."""
    decoder = av.CodecContext.create("h264", "r")
    frames = []
    for sample in samples:
        packet = av.Packet(sample.data)
        packet.pts, packet.time_base = sample.pts, Fraction(sample.time_base)
        frames += decoder.decode(packet)
    return frames + decoder.decode(None)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers: `serve(max_publishers=1)`; all are stopped in the end."""
    started: list[Server] = []

    def start(*given: Any, **more: Any) -> Server:
        started.append(Server(*given, **more))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def publisher() -> Iterator[Callable[..., Publisher]]:
    """aiortc clients, closed in the end."""
    started: list[Publisher] = []

    def start(*given: Any, **more: Any) -> Publisher:
        started.append(Publisher(*given, **more))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def watcher() -> Iterator[Callable[..., Watcher]]:
    """aiortc viewers, closed in the end."""
    started: list[Watcher] = []

    def start(*given: Any, **more: Any) -> Watcher:
        started.append(Watcher(*given, **more))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def reader() -> Iterator[Callable[..., Reader]]:
    """Readers of doors. Their servers must be closed first, or their doors."""
    started: list[Reader] = []

    def start(*given: Any, **more: Any) -> Reader:
        started.append(Reader(*given, **more))
        return started[-1]

    yield start
    for one in started:
        one._door.close()
        one.join()

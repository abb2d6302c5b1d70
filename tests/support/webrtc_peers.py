"""Those who talk to a WHIP and WHEP sessions: aiortc as a publisher and as a viewer. No test in here."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from fractions import Fraction
from typing import Any

import av
import httpx
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError
from webrtc_server import SDP, WAIT_S, Loop, Server

from stream.sources.sample import Sample


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
        self,
        server: Server,
        path: str = "/whip/phone",
        *,
        track: Any = None,
        codec: str = "video/H264",
        token: str = "",
        endless: bool = False,
    ) -> None:
        """`endless`: all that it ever sends are fragments of one picture."""
        self._server = server
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.loop = Loop()
        self.answer: httpx.Response = self.loop.run(self._connect(path, track, codec, endless))

    async def _connect(self, path: str, track: Any, codec: str, endless: bool) -> httpx.Response:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.sender = self.peer.addTrack(track or Moving())
        transceiver = self.peer.getTransceivers()[0]
        transceiver.direction = "sendonly"
        transceiver.setCodecPreferences(
            [each for each in RTCRtpSender.getCapabilities("video").codecs if each.mimeType == codec]
        )
        await self.peer.setLocalDescription(await self.peer.createOffer())
        self.offer = self.peer.localDescription.sdp
        if endless:
            self.never_end()
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

    def never_end(self) -> None:
        """From now on every packet is another fragment (RFC 6184 5.8) of one picture."""
        transport = self.sender.transport
        send, first = transport._send_rtp, iter((0x85,))

        async def fragment(data: bytes) -> None:
            if not is_media(data):
                await send(data)
                return
            at = 12 + 4 * (data[0] & 15)
            at += 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big") if data[0] & 16 else 0
            head = data[:1] + bytes([data[1] & 127]) + data[2:4] + bytes(4) + data[8:at]
            await send(head + bytes([0x7C, next(first, 0x05)]) + bytes([0x55]) * 1100)

        transport._send_rtp = fragment

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


def decoded(samples: list[Sample]) -> list[av.VideoFrame]:
    """What PyAV makes of samples."""
    decoder = av.CodecContext.create("h264", "r")
    frames = []
    for sample in samples:
        packet = av.Packet(sample.data)
        packet.pts, packet.time_base = sample.pts, Fraction(sample.time_base)
        frames += decoder.decode(packet)
    return frames + decoder.decode(None)

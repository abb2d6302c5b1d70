"""One aiortc connection, answered: an offer in, an answer out, candidates later, ICE anew.

aiortc can not restart ICE: `restart` gives the running transport another aioice connection, once that one works. The queue of
received datagrams moves along, so DTLS and SRTP notice nothing. aioice binds any UDP port and leaves loopback out: `_gather` binds those
that are set.

In: `Offer`, `Fragment`. Out: SDP. Everything happens in one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import aioice.ice
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.turn import UDP_SOCKET_BUFFER_SIZE
from aiortc import RTCConfiguration, RTCIceGatherer, RTCIceServer, RTCIceTransport, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import OperationError
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from stream.webrtc.errors import RefusalError, bad_sdp
from stream.webrtc.offers import Fragment, Offer
from stream.webrtc.settings import WebRtcSettings

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
RESTART_S = 10.0
"""Longest time that new candidates may take to work; then all stays as it was."""
_MONITOR = "_RTCIceTransport__monitor_task"
_CONSENT = "query_consent"
_CANDIDATES = "get_component_candidates"
_GATHERER = "_RTCIceTransport__iceGatherer"


class Peer:
    """`answer` once, then `add_candidates`, `restart`, `close`. `on_state` is told of `connected`, `failed`, `closed`."""

    def __init__(self, settings: WebRtcSettings, on_state: Callable[[str], None]) -> None:
        self._settings = settings
        self._servers = [
            RTCIceServer(each.url, each.username, each.password.get_secret_value() if each.password else None)
            for each in settings.ice_servers
        ]
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=self._servers))
        self._restarting: asyncio.Task[None] | None = None
        self.connection.on("connectionstatechange", lambda: on_state(self.connection.connectionState))

    async def answer(self, offer: Offer, prepare: Callable[[Any], None]) -> str:
        """The answer to an offer, all candidates in it. `prepare` gets the video transceiver before anything flows. Raises `RefusalError`."""
        try:
            return await self._answer(offer, prepare)
        except (RefusalError, OSError):
            raise
        except OperationError:
            raise bad_sdp(
                "expected codecs that we know in every media section; offer H.264 video, and Opus or no audio"
            ) from None
        except Exception as error:  # the barrier between a client's words and aiortc, which takes what it is given for granted
            log.info("an offer could not be answered: %r", error)
            raise bad_sdp("expected an offer of a WebRTC client (ICE, DTLS, rtcp-mux), got one that cannot be read") from error

    async def _answer(self, offer: Offer, prepare: Callable[[Any], None]) -> str:
        await self.connection.setRemoteDescription(RTCSessionDescription(offer.for_aiortc(), "offer"))
        flowing = [each for each in self.connection.getTransceivers() if each._offerDirection not in (None, "inactive")]
        if not flowing:
            raise bad_sdp("expected one section of video that flows, got none")
        self._video = flowing[0]
        prepare(self._video)
        for each in self.connection.getTransceivers():
            transport = each.receiver.transport
            self._prepare_gatherer(transport.transport.iceGatherer)
            if transport._role == "auto":
                # The client begins the handshake, as RFC 9725 4.4.1 would have it. aiortc as the client would refuse RSA certificates too.
                transport._set_role("server")
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return offer.answer(self.connection.localDescription.sdp)

    def _prepare_gatherer(self, gatherer: RTCIceGatherer) -> None:
        connection = gatherer._connection
        setattr(connection, _CANDIDATES, partial(_gather, connection, self._settings))

    @property
    def _transport(self) -> RTCIceTransport:
        return self._video.receiver.transport.transport

    @property
    def remote_username(self) -> str:
        return str(self._transport._connection.remote_username or "")

    async def add_candidates(self, fragment: Fragment) -> None:
        """Raises `RefusalError`."""
        await self._add(self._transport, fragment)

    async def _add(self, transport: RTCIceTransport, fragment: Fragment) -> None:
        for each in fragment.candidates:
            try:
                await transport.addRemoteCandidate(candidate_from_sdp(each.line))
            except ValueError as error:
                raise bad_sdp("expected candidates with an address, and no more after their end, got another") from error

    async def restart(self, fragment: Fragment) -> str:
        """Begin ICE anew with the client's new credentials; gives ours as a fragment (RFC 9725 4.3.2). Raises `RefusalError`."""
        transport = self._transport
        if transport.state != "completed" or self._restarting is not None:
            raise bad_sdp(
                f"expected a connection whose ICE is complete, got {transport.state}; end the session and make a new one"
            )
        gatherer = RTCIceGatherer(iceServers=self._servers)
        self._prepare_gatherer(gatherer)
        await gatherer.gather()
        fresh = gatherer._connection
        fresh._queue = transport._connection._queue
        fresh.remote_username, fresh.remote_password = fragment.username, fragment.password
        await self._add(RTCIceTransport(gatherer), fragment)
        self._restarting = asyncio.create_task(self._move(transport, gatherer))
        ours = gatherer.getLocalParameters()
        lines = [f"a=ice-ufrag:{ours.usernameFragment}", f"a=ice-pwd:{ours.password}", "m=video 9 UDP/TLS/RTP/SAVPF 0"]
        lines += [f"a=mid:{self._video.mid}"]
        lines += [f"a=candidate:{candidate_to_sdp(each)}" for each in gatherer.getLocalCandidates()]
        return "\r\n".join([*lines, "a=end-of-candidates", ""])

    async def _move(self, transport: RTCIceTransport, gatherer: RTCIceGatherer) -> None:
        """Wait for the new connection to work, then put it in place of the old one."""
        fresh, old = gatherer._connection, transport._connection
        try:
            async with asyncio.timeout(RESTART_S):
                await fresh.connect()
        except (ConnectionError, TimeoutError):
            log.warning("ICE restart: the new candidates do not work; staying with the old ones")
            await _discard(fresh)
            return
        except asyncio.CancelledError:
            await _discard(fresh)
            raise
        finally:
            self._restarting = None
        getattr(transport, _MONITOR).cancel()
        setattr(transport, _GATHERER, gatherer)
        transport._connection, transport._recv, transport._send = fresh, fresh.recv, fresh.send
        setattr(transport, _MONITOR, asyncio.ensure_future(transport._monitor()))
        await _discard(old)

    async def close(self) -> None:
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)
        for each in self.connection.getTransceivers():
            # aioice (0.13) that is closed while it connects asks for consent for ever after
            setattr(each.receiver.transport.transport._connection, _CONSENT, _nothing)
        await self.connection.close()
        for each in self.connection.getTransceivers():
            # aiortc (1.x) that is closed in the moment its handshake succeeds starts what it has stopped already
            await each.stop()


async def _nothing() -> None: ...


async def _discard(connection: aioice.ice.Connection) -> None:
    """Close one without a word to whoever reads the shared queue."""
    connection._queue = asyncio.Queue()
    await connection.close()


async def _gather(
    connection: aioice.ice.Connection, settings: WebRtcSettings, component: int, addresses: list[str], timeout: int = 5
) -> list[Candidate]:
    """Host candidates on the addresses and ports that are set, then what STUN and TURN servers add."""
    hosts = []
    for address in settings.addresses or addresses or [LOOPBACK]:
        with contextlib.suppress(OSError):  # an address that is set, or an interface that went, need not be ours
            hosts.append(await _bind(connection, component, address, settings.ports))
    connection._protocols += hosts
    candidates = [protocol.local_candidate for protocol in hosts]
    if connection.stun_server:
        asking = [aioice.ice.server_reflexive_candidate(protocol, connection.stun_server) for protocol in hosts]
        done = await asyncio.gather(*(asyncio.wait_for(each, timeout) for each in asking), return_exceptions=True)
        candidates += [each[0] for each in done if not isinstance(each, BaseException)]
    relayed = await type(connection).get_component_candidates(connection, component, [], timeout)
    return candidates + relayed


async def _bind(
    connection: aioice.ice.Connection, component: int, address: str, ports: tuple[int, int] | None
) -> aioice.ice.StunProtocol:
    """A UDP socket on the first free port of the range. Raises `OSError` when there is none."""
    loop = asyncio.get_running_loop()
    failed = OSError(f"{address}: expected a free UDP port of webrtc.ports, found none")
    for port in range(ports[0], ports[1] + 1) if ports else (0,):
        try:
            transport, protocol = await loop.create_datagram_endpoint(
                lambda: aioice.ice.StunProtocol(connection), local_addr=(address, port)
            )
        except OSError as error:
            failed = error
            continue
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_SOCKET_BUFFER_SIZE)
        host, bound = transport.get_extra_info("sockname")[:2]
        protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", host),
            component=component,
            transport="udp",
            priority=candidate_priority(component, "host"),
            host=host,
            port=bound,
            type="host",
        )
        return protocol
    raise failed

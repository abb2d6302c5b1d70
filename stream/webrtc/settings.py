"""What may be set of WebRTC: limits, timeouts, addresses.

In: the `webrtc:` section of the configuration. Out: `WebRtcSettings`. It imports no WebRTC library.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from stream.section import LONGEST_S, Section

UdpPort = Annotated[int, Field(ge=1, le=65_535)]


class IceServer(Section):
    """A STUN or TURN server, for us and for the clients (RFC 9725 4.6)."""

    url: str = Field(pattern=r"^(stun|turn|turns):", description="stun:HOST:PORT or turn:HOST:PORT?transport=udp")
    username: str | None = Field(default=None, repr=False)
    password: SecretStr | None = None


class WebRtcSettings(Section):
    """Publishing over WHIP and watching over WHEP."""

    max_publishers: int = Field(default=16, ge=1, le=10_000, description="WHIP sessions at a time; more get 503")
    max_viewers: int = Field(
        default=16, ge=1, le=10_000, description="WHEP sessions at a time, all cameras together; more get 503"
    )
    max_sdp_bytes: int = Field(
        default=64 << 10, ge=1024, le=16 << 20, description="longest body of a request; longer ones get 413"
    )
    body_timeout_s: float = Field(
        default=5.0, gt=0, le=LONGEST_S, description="longest time a request's body may take; then 408"
    )
    connect_timeout_s: float = Field(
        default=15.0, gt=0, le=LONGEST_S, description="longest time from the answer to the first media packet"
    )
    idle_timeout_s: float = Field(
        default=15.0, gt=0, le=LONGEST_S, description="a publisher that sends nothing for so long has left"
    )
    loss_patience_s: float = Field(
        default=0.4, gt=0, le=LONGEST_S, description="how long a lost packet is waited for; then its picture is lost"
    )
    key_patience_s: float = Field(
        default=2.0,
        ge=0,
        le=LONGEST_S,
        description="after a loss, how long pictures are left out until a keyframe; then taken as they come",
    )
    queue_pictures: int = Field(
        default=128, ge=8, le=1_000_000, description="pictures held per publisher; then the oldest drop"
    )
    viewer_pictures: int = Field(
        default=90, ge=8, le=1_000_000, description="pictures held per viewer; then it skips to the next keyframe"
    )
    kept_s: float = Field(
        default=10.0, ge=0, le=LONGEST_S, description="longest stretch since the last keyframe kept for new viewers"
    )
    kept_bytes: int = Field(default=8 << 20, ge=0, le=16 << 30, description="most bytes of it per camera")
    ice_servers: tuple[IceServer, ...] = Field(default=(), description="none: clients reach us by our own addresses")
    addresses: tuple[str, ...] = Field(default=(), description="our addresses to offer; none: those of all interfaces")
    ports: tuple[UdpPort, UdpPort] | None = Field(
        default=None, description="first and last UDP port for media; none: any free one"
    )
    origins: tuple[str, ...] = Field(
        default=(), description="web origins whose pages may publish and watch (CORS), or *; our own pages always may"
    )

"""How the stream comes, and how long one waits for it.

In: an `Observation`. Out: `Transport`.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from stream.doctor.observe import Observation

_NAMES = {"rtsp": "RTSP over TCP", "rtsps": "RTSP over TLS", "udp": "MPEG-TS over UDP", "tcp": "MPEG-TS over TCP"}
"""By scheme; others are told by their own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """`address` without credentials. `opened_s`: until the connection told what it carries; `first_picture_s`: until a picture that decoding
    can start at, None for files. `watched_s`: media seconds that came."""

    name: str
    address: str
    is_live: bool
    opened_s: float
    first_picture_s: float | None
    watched_s: float


def transport_of(watch: Observation) -> Transport:
    return Transport(
        name=transport_name(watch),
        address=watch.shown,
        is_live=watch.is_live,
        opened_s=watch.opened_s,
        first_picture_s=watch.first_picture_s,
        watched_s=watch.span_s,
    )


def transport_name(watch: Observation) -> str:
    scheme = urlsplit(watch.shown).scheme.lower() if "://" in watch.shown else ""
    if not scheme or not watch.is_live:
        return watch.kind
    name = _NAMES.get(scheme, scheme.upper())
    return f"{name}, pushed to us" if watch.kind == "listen" else name

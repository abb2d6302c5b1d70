"""A session description (SDP, RFC 8866), as far as it matters here: which tracks there are.

In: the body of a DESCRIBE answer. Out: `Description`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MEDIA = re.compile(r"^m=(\w+) \S+ \S+ (\d+)", re.MULTILINE)
_CODEC = re.compile(r"^a=rtpmap:(\d+) ([\w.+-]+)/", re.MULTILINE)
_RATE = re.compile(r"^a=framerate: ?([\d.]+)", re.MULTILINE)
_STATIC = {"26": "JPEG", "32": "MPV", "33": "MP2T"}
"""Payload types that need no rtpmap (RFC 3551 6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """`video`: codec names of the video tracks; `others`: kinds of the other tracks; `fps`: pictures per second, where it tells."""

    video: tuple[str, ...]
    others: tuple[str, ...]
    fps: float | None


def read_description(text: str) -> Description:
    """Never raises: what cannot be read is not there."""
    names = {number: name.upper() for number, name in _CODEC.findall(text)}
    media = _MEDIA.findall(text)
    rates = [float(rate) for rate in _RATE.findall(text) if rate.count(".") < 2 and rate.strip(".")]
    return Description(
        video=tuple(names.get(number) or _STATIC.get(number, f"payload {number}") for kind, number in media if kind == "video"),
        others=tuple(kind for kind, _ in media if kind != "video"),
        fps=next((rate for rate in rates if rate > 0), None),
    )

"""Records of a packet log: what is remembered of a camera, as bytes.

In: entries (`Recorded`, `Start`, `Steer`, `Hole`). Out: payloads, bit for bit; and back. How a payload is framed, so that a torn or damaged
one is found, is in framing.py.

Integers are little-endian. Numbers of kinds are for ever: a reader skips a kind that it does not know.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from fractions import Fraction
from typing import Any, Literal, NamedTuple, get_args

from stream.errors import PacketLogError
from stream.units import Packet

SteerAction = Literal["advance", "force", "flush"]
_ACTIONS: tuple[SteerAction, ...] = get_args(SteerAction)

_PACKET = struct.Struct("<qqqqdddIIIBB")
"""pts, dts, time base (numerator, denominator), pts_s, media_s, wall_s, size_bytes, width, height, flags, length of the codec's name."""
_WIDEN = struct.Struct("<d")
_STEER = struct.Struct("<Bd")
_HOLE = struct.Struct("<I")
_IS_KEY, _DISCONTINUITY, _HAS_DTS = 1, 2, 4


class Kind(IntEnum):
    """What a record holds."""

    PACKET = 1
    START = 2
    WIDEN = 3
    STEER = 4
    HOLE = 5


class Recorded(NamedTuple):
    """A packet, and the factor by which the tokenizer's groups were widened when it was taken (`Tokenizer.widen`)."""

    packet: Packet
    widen: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A recording began: `session` is its own name, so that a log that goes on after a crash is not taken for one recording.

    `tokenizer`: the settings that the live tokenizer had, None where there was none. `version`: the software's.
    """

    camera: str
    session: str
    version: str
    began_s: float
    tokenizer: Mapping[str, Any] | None = None


class Steer(NamedTuple):
    """What else was done to the tokenizer between two packets: `advance` to `value` media seconds, `force`, or `flush`."""

    action: SteerAction
    value: float = 0.0


class Hole(NamedTuple):
    """So many packets came here and were not recorded."""

    num_packets: int


Entry = Recorded | Start | Steer | Hole


def packet_parts(packet: Packet) -> tuple[bytes, bytes]:
    """A packet's payload in two parts, the second of which is its data, not copied. Raises `PacketLogError` for a packet that has no
    place in a record (ticks past 64 bits)."""
    codec = packet.codec.encode()
    flags = _IS_KEY * packet.is_key | _DISCONTINUITY * packet.discontinuity | _HAS_DTS * (packet.dts is not None)
    try:
        fixed = _PACKET.pack(
            packet.pts,
            packet.dts or 0,
            packet.time_base.numerator,
            packet.time_base.denominator,
            packet.pts_s,
            packet.media_s,
            packet.wall_s,
            packet.size_bytes,
            packet.width,
            packet.height,
            flags,
            len(codec),
        )
    except struct.error as error:
        raise PacketLogError(f"packet at {packet.media_s} s: expected times and sizes that fit a record ({error})") from None
    return fixed + codec, packet.data


def parse_packet(payload: bytes) -> Packet:
    """Raises `PacketLogError` for a payload that is none of ours."""
    try:
        pts, dts, num, den, pts_s, media_s, wall_s, size, width, height, flags, named = _PACKET.unpack_from(payload)
        data_at = _PACKET.size + named
        if data_at > len(payload):
            raise ValueError("cut off in the codec's name")
        return Packet(
            data=payload[data_at:],
            pts=pts,
            dts=dts if flags & _HAS_DTS else None,
            time_base=_time_base(num, den),
            pts_s=pts_s,
            media_s=media_s,
            wall_s=wall_s,
            is_key=bool(flags & _IS_KEY),
            codec=payload[_PACKET.size : data_at].decode(),
            size_bytes=size,
            width=width,
            height=height,
            discontinuity=bool(flags & _DISCONTINUITY),
        )
    except (struct.error, ValueError) as error:
        raise PacketLogError(f"expected a packet, got {len(payload)} bytes that are none ({error})") from None


def start_payload(start: Start) -> bytes:
    return json.dumps(asdict(start), sort_keys=True).encode()


def parse_start(payload: bytes) -> Start:
    """Keys that a newer version added are left out. Raises `PacketLogError`."""
    try:
        said = json.loads(payload)
        return Start(**{name: said[name] for name in Start.__dataclass_fields__})
    except (ValueError, KeyError, TypeError) as error:
        raise PacketLogError(f"expected the start of a recording, got {len(payload)} bytes that are none ({error})") from None


def widen_payload(factor: float) -> bytes:
    return _WIDEN.pack(factor)


def steer_payload(steer: Steer) -> bytes:
    return _STEER.pack(_ACTIONS.index(steer.action), steer.value)


def hole_payload(hole: Hole) -> bytes:
    return _HOLE.pack(min(hole.num_packets, 2**32 - 1))


def parse_widen(payload: bytes) -> float:
    return float(_unpack(_WIDEN, payload)[0])


def parse_steer(payload: bytes) -> Steer:
    """Raises `PacketLogError` for an action that a newer version added: a replay without it would not be the live run."""
    action, value = _unpack(_STEER, payload)
    if action >= len(_ACTIONS):
        raise PacketLogError(f"expected one of {', '.join(_ACTIONS)}, got action {action} of a newer version")
    return Steer(_ACTIONS[action], value)


def parse_hole(payload: bytes) -> Hole:
    return Hole(_unpack(_HOLE, payload)[0])


def _unpack(form: struct.Struct, payload: bytes) -> tuple[Any, ...]:
    try:
        return form.unpack(payload)
    except struct.error as error:
        raise PacketLogError(f"expected a record of {form.size} bytes, got {len(payload)} ({error})") from None


def _time_base(numerator: int, denominator: int) -> Fraction:
    if numerator <= 0 or denominator <= 0:
        raise ValueError(f"time base {numerator}/{denominator}")
    return Fraction(numerator, denominator)

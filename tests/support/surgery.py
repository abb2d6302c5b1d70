"""Real streams cut up and changed: packets of a clip with other bytes or times, files put behind each other, parameter sets rewritten."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import av

from stream.codec.h264.annexb import BitReader, join_annexb, nal_type, split_annexb, unescape

Packet: TypeAlias = "av.Packet[av.VideoStream]"
PARAMETER_SETS = (7, 8)
TS_PACKET_BYTES = 188


def remux(sources: Iterable[Path], path: Path, change: Callable[[int, Packet], Packet | None]) -> Path:
    """Packets of MPEG-TS clips, one clip behind the other, into another file. `change` gets the packet's number and the packet, which it
    may change, replace or leave out (None). Times run on from clip to clip, unless changed."""
    number = after = 0
    with av.open(str(path), "w") as out:
        track = None
        for source in sources:
            with av.open(str(source)) as clip:
                stream = clip.streams.video[0]
                track = track or out.add_stream_from_template(stream)
                packets = [packet for packet in clip.demux(stream) if packet.size]
                step = min(b.dts - a.dts for a, b in pairwise(packets))
                for packet in packets:
                    packet.pts, packet.dts = packet.pts + after, packet.dts + after
                after = packets[-1].dts + step
                for packet in packets:
                    changed = change(number, packet)
                    number += 1
                    if changed is not None:
                        changed.stream = track
                        out.mux(changed)
    return path


def with_data(packet: Packet, data: bytes) -> Packet:
    """The packet with other bytes."""
    changed: Packet = av.Packet(data)
    changed.pts, changed.dts, changed.time_base, changed.is_keyframe = (
        packet.pts,
        packet.dts,
        packet.time_base,
        packet.is_keyframe,
    )
    return changed


def without_parameter_sets(data: bytes) -> bytes:
    return join_annexb(nal for nal in split_annexb(data) if nal_type(nal) not in PARAMETER_SETS)


def write_plain(source: Path, path: Path, change: Callable[[int, bytes], bytes]) -> Path:
    """Access units of an MPEG-TS clip without any container, changed by number."""
    with av.open(str(source)) as clip:
        packets = [bytes(packet) for packet in clip.demux(clip.streams.video[0]) if packet.size]
    path.write_bytes(b"".join(change(number, data) for number, data in enumerate(packets)))
    return path


def with_order_type_1(packet: Packet) -> Packet:
    """Picture order type 2 to type 1 with the same order: a cycle of one reference frame, two counts apart (H.264 8.2.1.2). Slice headers
    hold no order in either, since delta_pic_order_always_zero_flag is set."""
    nals = [_order_type_1(nal) if nal_type(nal) == 7 else nal for nal in split_annexb(bytes(packet))]
    return with_data(packet, join_annexb(nals))


def _order_type_1(sps: bytes) -> bytes:
    payload = unescape(sps[1:])
    text, bits = "".join(f"{byte:08b}" for byte in payload), BitReader(payload)
    assert bits.u(8) == 66, "expected the baseline profile, whose set has nothing in front of the order type but these"
    bits.u(16)  # constraint flags, level
    bits.ue()  # seq_parameter_set_id
    bits.ue()  # log2_max_frame_num_minus4
    start = len(text) - bits.num_left
    assert bits.ue() == 2, "expected picture order type 2"
    behind = text[len(text) - bits.num_left :].rstrip("0")  # ends with the stop bit
    order = (
        _ue(1) + "1" + _se(0) + _se(0) + _ue(1) + _se(2)
    )  # type, always zero, non-reference, bottom, cycle length, its offset
    whole = text[:start] + order + behind
    whole += "0" * (-len(whole) % 8)
    return sps[:1] + escape(int(whole, 2).to_bytes(len(whole) // 8, "big"))


def escape(payload: bytes) -> bytes:
    """With emulation prevention bytes (H.264 7.4.1)."""
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", payload)


def _ue(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _se(value: int) -> str:
    return _ue(2 * value - 1 if value > 0 else -2 * value)

"""A clip between two times, cut out of a packet log without encoding anything again.

In: a log and two wall times. Out: an mp4 file that begins at a key frame, and what it truly covers.
"""

from __future__ import annotations

import io
import os
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

from stream.codec.codecs import codec_of
from stream.errors import PacketLogError, StretchError
from stream.packetlog.log import PacketLog
from stream.packetlog.spool import Picture, Spool
from stream.packetlog.timing import Placed, decode_ticks, placed, whole_stretches
from stream.units import MEDIA_CLOCK_HZ, Packet

TIME_BASE = Fraction(1, MEDIA_CLOCK_HZ)
MAX_CLIP_BYTES = 512 << 20
MAX_CLIP_PICTURES = 1 << 18
"""Nearly five hours at 15 per second. A picture's times are in memory while a clip is made, and its place in the file's index."""
_OPTIONS = {"movflags": "+faststart", "video_track_timescale": str(MEDIA_CLOCK_HZ)}
GAP_S = 2.0
"""A step past this is told as a gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What a clip covers, UTC epoch seconds: `start_s` is its first picture's, at or before the wanted start wherever the log reaches that
    far; `end_s` its last picture's. `gaps`: stretches inside without a picture; the one before it stands still meanwhile.
    `cut_short`: why it ends before the wanted end, None where it does not."""

    path: Path
    start_s: float
    end_s: float
    duration_s: float
    num_frames: int
    num_bytes: int
    codec: str
    width: int
    height: int
    gaps: tuple[tuple[float, float], ...]
    cut_short: str | None


def cut_clip(log: PacketLog, start: float, end: float, out_path: Path, *, max_bytes: int = MAX_CLIP_BYTES) -> Clip:
    """Write the clip that covers `start` to `end`. The file appears when it is whole, with its index in front (it plays while it loads).

    Its bytes go from disk to disk, through an unnamed file beside it; memory holds times alone. A change of the picture size ends it: one
    mp4 track has one size. Raises `StretchError` when the log holds no picture there, for a codec that mp4 has no place for and a clip of
    more than `max_bytes`, any other `PacketLogError` for a log that cannot be read and a file that cannot be written.
    """
    if not end > start:
        raise StretchError(f"clip: expected an end after the start {start:.3f}, got {end:.3f}")
    part = out_path.with_name(f"{out_path.name}.{os.getpid()}.part")
    try:
        with Spool(out_path.parent) as spool:
            cut_short = _collect(log, start, end, max_bytes, spool)
            if spool.first is None:
                raise StretchError(f"clip: expected pictures between {start:.3f} and {end:.3f}, {_coverage(log)}")
            num_ticks = _mux(spool, spool.first, part)
            pictures, first = spool.pictures, spool.first
        part.replace(out_path)
        num_bytes = out_path.stat().st_size
    except (OSError, av.FFmpegError) as error:
        raise PacketLogError(f"clip {out_path}: cannot be written ({error.strerror or error})") from None
    finally:
        part.unlink(missing_ok=True)
    return _told(out_path, num_bytes, num_ticks, pictures, first, cut_short)


def _told(path: Path, num_bytes: int, num_ticks: int, pictures: list[Picture], first: Packet, cut_short: str | None) -> Clip:
    shown = sorted(pictures, key=lambda each: each.at_s)
    return Clip(
        path=path,
        start_s=shown[0].shown_s,
        end_s=shown[-1].shown_s,
        duration_s=num_ticks / MEDIA_CLOCK_HZ,
        num_frames=len(pictures),
        num_bytes=num_bytes,
        codec=first.codec,
        width=first.width,
        height=first.height,
        gaps=tuple((a.shown_s, b.shown_s) for a, b in pairwise(shown) if b.at_s - a.at_s > GAP_S),
        cut_short=cut_short,
    )


def _collect(log: PacketLog, start: float, end: float, max_bytes: int, spool: Spool) -> str | None:
    """The packets of a clip to the spool. Returns why they end early."""
    reaches_start = False
    with closing(log.entries(start)) as entries:
        for stretch in whole_stretches(placed(entries)):
            if min(each.shown_s for each in stretch) > end:
                break
            if stretch[0].enters and not reaches_start:
                spool.clear()  # the wanted start lies in the gap before this
            changed = _change(spool.first, stretch) if spool.first is not None else None
            if changed is not None:
                return changed
            for each in stretch:
                spool.put(each)
            reaches_start = reaches_start or any(each.shown_s >= start for each in stretch)
            _check_size(spool, max_bytes)
    return None


def _check_size(spool: Spool, max_bytes: int) -> None:
    if spool.num_bytes <= max_bytes and len(spool.pictures) <= MAX_CLIP_PICTURES:
        return
    first_s, last_s = spool.pictures[0].shown_s, spool.pictures[-1].shown_s
    raise StretchError(
        f"clip: expected at most {max_bytes} bytes (max_bytes) and {MAX_CLIP_PICTURES} pictures, got more from "
        f"{first_s:.3f} to {last_s:.3f}; ask for a shorter one"
    )


def _change(first: Packet, stretch: list[Placed]) -> str | None:
    for packet in (each.packet for each in stretch):
        if packet.codec != first.codec:
            return f"the codec changes from {first.codec} to {packet.codec} at {packet.wall_s:.3f}; ask for a clip from there"
        if (packet.width, packet.height) != (first.width, first.height):
            return (
                f"the picture size changes from {first.width}x{first.height} to {packet.width}x{packet.height} "
                f"at {packet.wall_s:.3f}; ask for a clip from there"
            )
    return None


def _coverage(log: PacketLog) -> str:
    covers = log.range()
    return "the log is empty" if covers is None else f"the log covers {covers.start_s:.3f} to {covers.end_s:.3f}"


def _mux(spool: Spool, first: Packet, path: Path) -> int:
    """Write the mp4. Returns its length in ticks."""
    zero_s = min(each.at_s for each in spool.pictures)
    shown, decoded = decode_ticks([round((each.at_s - zero_s) * MEDIA_CLOCK_HZ) for each in spool.pictures])
    in_order = sorted(shown)
    last_step = in_order[-1] - in_order[-2] if len(in_order) > 1 else MEDIA_CLOCK_HZ // 25
    codec = codec_of(first.codec)
    if not codec.raw_format:
        raise StretchError(f"clip: expected H.264 or H.265, got {first.codec}")
    with av.open(io.BytesIO(first.data), format=codec.raw_format) as head:
        template = head.streams.video[0]
        if not template.codec_context.extradata:
            raise StretchError("clip: expected parameter sets in front of the first key frame, found none")
        with av.open(str(path), "w", format="mp4", options=_OPTIONS) as out:
            track = out.add_stream_from_template(template, opaque=True)
            track.time_base = TIME_BASE
            if codec.mp4_tag:
                track.codec_context.codec_tag = codec.mp4_tag
            for each, data, pts, dts in zip(spool.pictures, spool.data(), shown, decoded, strict=True):
                out.mux(_unit(each, data, track, pts, dts, last_step))
    return in_order[-1] + last_step - in_order[0]


def _unit(
    picture: Picture, data: bytes, track: av.VideoStream, pts: int, dts: int, duration: int
) -> av.Packet[av.stream.Stream]:
    """`duration` matters for the last one alone; the others last until the next."""
    unit = av.Packet(data)
    unit.stream, unit.time_base = track, TIME_BASE
    unit.pts, unit.dts, unit.duration = pts, dts, duration
    unit.is_keyframe = picture.is_key
    return unit

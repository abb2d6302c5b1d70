"""Packets to pictures, in display order, with motion vectors and quantisers on each.

In: `Packet`s in decode order. Out: `DecodedFrame`s in display order, each paired with its packet. A packet that cannot be
decoded is counted by reason, logged at a bounded rate and skipped; nothing is raised for it.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer

from stream.codec.buffers import flat
from stream.codec.h264.access_unit import starts_decoding
from stream.codec.h264.annexb import START_CODE, TYPE_MASK, NalType, split_annexb
from stream.codec.h264.parameter_sets import LARGEST_PICTURE_PX
from stream.codec.h264.slice_data import MacroblockFrame, MacroblockParser
from stream.codec.motion import MOTION_VECTOR, mean_qp
from stream.units import Packet

log = logging.getLogger(__name__)

MAX_REORDER = 32
"""Packets that may pass before one without a picture is given up: the largest H.264 picture buffer is 16 frames (A.3.1), in
fields twice as many."""
MAX_LOST = 1024
"""Packets without a picture kept for `take_lost`; the oldest go first."""
_LOG_EVERY_S = 1.0
_ANNEX_B = frozenset({"h264", "hevc"})
_BARE_NAMES = {"av1": "libdav1d"}
"""Codecs whose decoder of the same name needs a graphics card."""
_PICTURE_TYPES = {1: "I", 2: "P", 3: "B", 4: "S", 5: "SI", 6: "SP", 7: "BI"}
"""FFmpeg's AVPictureType."""
_SETS = frozenset({int(NalType.SPS), int(NalType.PPS)})
MOST_SETS = 64
"""Parameter sets kept that came since the last whole set of them."""
STEP_BACK_S, LEAST_STEP_S = 2.0, 0.001
"""A picture whose time is up to so much before that of the picture shown before it (times in decode order, damaged picture order, two
recordings spliced) is shown the least step after it."""
_VENC_BLOCKS_INTS = 5
"""32-bit fields of FFmpeg's AVVideoBlockParams; the last is delta_qp."""
_EIGHT_BIT_LUMA_PLANE = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"})
"""Pixel formats whose first plane is luma, a byte per pixel."""


class Luma(NamedTuple):
    """Luma of a picture: flat read-only bytes, and the bytes from one row to the next."""

    levels: np.ndarray
    pitch: int


class DecodedFrame:
    """One displayed picture, light: side data and pixels are read when asked.

    - `frame_id`: count in display order since the decoder began. `packet`: the packet it came from.
    - `media_s`: of that packet, later by a little where that would step back. `wall_s`: of that packet.
    - `picture_type`: I, P or B. `width`, `height`: displayed size.
    - `picture`: the PyAV frame; holds the decoder's picture buffer as long as it lives.
    """

    __slots__ = ("_luma", "_parse", "_side_data", "frame_id", "height", "media_s", "packet", "picture", "picture_type", "width")

    def __init__(
        self,
        frame_id: int,
        packet: Packet,
        picture: av.VideoFrame,
        parse: Callable[[Packet], MacroblockFrame | None] | None = None,
        media_s: float | None = None,
    ) -> None:
        self.frame_id = frame_id
        self.packet = packet
        self.media_s = packet.pts_s if media_s is None else media_s
        self.picture = picture
        self.picture_type = _PICTURE_TYPES.get(int(picture.pict_type), "?")
        self.width: int = picture.width
        self.height: int = picture.height
        self._parse = parse
        self._luma: Luma | None = None
        self._side_data: tuple[float, np.ndarray | None] | None = None

    @property
    def wall_s(self) -> float:
        return self.packet.wall_s

    @property
    def is_key(self) -> bool:
        return self.packet.is_key

    @property
    def mean_qp(self) -> float:
        """Mean quantiser over the macroblocks, NaN when the codec does not tell."""
        return self.side_data()[0]

    @property
    def luma(self) -> Luma:
        """The picture's luma; pictures that are not plain eight-bit YUV are brought to that."""
        if self._luma is None:
            picture = self.picture
            if picture.format.name not in _EIGHT_BIT_LUMA_PLANE:
                picture = picture.reformat(format="yuv420p")
            plane = picture.planes[0]
            self._luma = Luma(flat(plane), plane.line_size)
        return self._luma

    def macroblocks(self) -> MacroblockFrame | None:
        """Bits of every macroblock, read from the packet now; None where that was not asked for, or cannot be done."""
        return self._parse(self.packet) if self._parse is not None else None

    def side_data(self) -> tuple[float, np.ndarray | None]:
        """Mean quantiser (NaN when the codec does not tell) and motion vectors (`motion.MOTION_VECTOR` [n], None without any).

        `picture.side_data` would keep its container inside the picture that it refers to: a cycle that holds the pixels until the
        garbage collector happens to come by, hundreds of megabytes later. So one container is read once, and let go.
        """
        if self._side_data is None:
            container: Any = SideDataContainer(self.picture)  # type: ignore[call-arg]
            vectors = container.get("MOTION_VECTORS")
            params = container.get("VIDEO_ENC_PARAMS")
            self._side_data = _mean_qp(params), None if vectors is None else flat(vectors, MOTION_VECTOR)
        return self._side_data


def _mean_qp(params: Any) -> float:
    """From FFmpeg's AVVideoEncParams."""
    if params is None or not params.nb_blocks or params.block_size != 4 * _VENC_BLOCKS_INTS:
        return float("nan")
    fields = flat(params, np.int32, count=params.nb_blocks * _VENC_BLOCKS_INTS, offset=params.blocks_offset)
    return mean_qp(fields, _VENC_BLOCKS_INTS, params.qp)


class Decoder:
    """Decoder of one stream. Not thread safe: it belongs to the thread that pushes.

    `skipped` counts, by reason: `empty_packet` (FFmpeg takes one for the end of the stream, and every packet after it is refused),
    `no_keyframe` (packets before the first picture that decoding can start at), `damaged_packet` (refused by the decoder),
    `damaged_frame` (decoded with errors, so its pixels are guesses), `no_picture` (accepted, but never shown).

    Without `with_qp` frames do not tell their quantiser, which saves a few percent of decoding. `with_macroblocks`: frames tell the
    bits of their macroblocks, where the slice data can be read; the first reason why it cannot is logged, and `unread` counts the
    pictures that were asked for in vain, by reason. No memory is taken for pictures of more than `max_picture_px`: they are `damaged_packet`.
    """

    def __init__(
        self,
        name: str = "",
        *,
        with_qp: bool = True,
        with_macroblocks: bool = False,
        max_picture_px: int = LARGEST_PICTURE_PX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.skipped: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()
        self.num_frames = 0
        self._name = name
        self._with_qp = with_qp
        self._max_picture_px = max_picture_px
        self._macroblocks = MacroblockParser() if with_macroblocks else None
        self._told_unread = False
        self._told_codec = False
        self._monotonic = monotonic
        self._context: av.VideoCodecContext | None = None
        self._codec = ""
        self._waiting: dict[int, tuple[Packet, tuple[bytes, ...]]] = {}
        self._sets: tuple[bytes, ...] = ()
        self._shown_s = -math.inf
        self._lost: deque[Packet] = deque(maxlen=MAX_LOST)
        self._num_packets = 0
        self._started = False
        self._next_log_s = 0.0
        self._unlogged: Counter[str] = Counter()

    def push(self, packet: Packet) -> list[DecodedFrame]:
        """Decode one packet; zero or more frames become due, in display order."""
        frames = self.flush() if self._context is not None and packet.codec != self._codec else []
        if len(packet.data) <= (len(START_CODE) if packet.codec in _ANNEX_B else 0):  # AV1 shows a picture again in three bytes
            self._skip("empty_packet", packet)
            return frames
        if not self._started:
            if not (packet.is_key or (packet.codec == "h264" and starts_decoding(packet.data))):
                self._skip("no_keyframe", packet)
                return frames
            self._started = True
        if self._context is None:
            self._context = _open(packet.codec, self._with_qp, self._max_picture_px)
            self._codec = packet.codec
            self._tell_evidence()
        if self._macroblocks is not None and packet.codec == "h264" and packet.data[4] & TYPE_MASK in _SETS:
            self._see_parameter_sets(packet)
        unit = av.Packet(packet.data)
        unit.pts = self._num_packets
        self._waiting[self._num_packets] = packet, self._sets
        self._num_packets += 1
        try:
            pictures = self._context.decode(unit)
        except av.FFmpegError:
            self._waiting.pop(self._num_packets - 1, None)
            self._skip("damaged_packet", packet)
            return frames
        frames += self._frames(pictures)
        self._give_up(self._num_packets - MAX_REORDER)
        return frames

    def flush(self) -> list[DecodedFrame]:
        """The frames still held for reordering; the decoder then waits for a new start."""
        frames: list[DecodedFrame] = []
        if self._context is not None:
            try:
                frames = self._frames(self._context.decode(None))
            except av.FFmpegError as error:
                log.warning("%s: decoder flush failed: %s", self._name or "decoder", error)
        self._give_up(self._num_packets)
        self._context = None
        self._started = False
        self._shown_s = -math.inf
        return frames

    def take_lost(self) -> list[Packet]:
        """Packets that were found, since the last call, to have no picture (the last `MAX_LOST` of them); their bytes still
        count."""
        lost = list(self._lost)
        self._lost.clear()
        return lost

    def _frames(self, pictures: list[av.VideoFrame]) -> list[DecodedFrame]:
        frames = []
        for picture in pictures:
            waited = self._waiting.pop(picture.pts, None) if picture.pts is not None else None
            if waited is None:
                continue
            packet, sets = waited
            if picture.is_corrupt:
                self._skip("damaged_frame", packet)
                continue
            parse = partial(self._parse, sets) if self._macroblocks is not None and packet.codec == "h264" else None
            frames.append(DecodedFrame(self.num_frames, packet, picture, parse, self._shown_at(packet.pts_s)))
            self.num_frames += 1
        return frames

    def _shown_at(self, pts_s: float) -> float:
        """Media time of the next picture shown; small steps back are taken out."""
        if 0.0 <= self._shown_s - pts_s <= STEP_BACK_S:
            pts_s = round(self._shown_s + LEAST_STEP_S, 3)
        self._shown_s = pts_s
        return pts_s

    def _see_parameter_sets(self, packet: Packet) -> None:
        """Remember the sets in force; a random access point brings all of them, any other picture those that changed."""
        sets = tuple(nal for nal in split_annexb(packet.data) if nal[0] & TYPE_MASK in _SETS)
        self._sets = sets if starts_decoding(packet.data) else (*self._sets, *sets)[-MOST_SETS:]

    def _parse(self, sets: tuple[bytes, ...], packet: Packet) -> MacroblockFrame | None:
        """Macroblocks of a packet, if they can be relied on. This may be long after it was decoded, and other `sets` may have come."""
        assert self._macroblocks is not None
        self._macroblocks.see_parameter_sets(sets)
        frame = self._macroblocks.push(packet.data)
        if frame is not None and frame.is_whole:
            return frame
        reason = "unreadable" if frame is None else frame.refused or "damaged"
        self.unread[reason] += 1
        if not self._told_unread:
            self._told_unread = True
            log.warning(
                "%s: no bits per macroblock (%s); evidence is motion, residual and size", self._name or "decoder", reason
            )
        return None

    def _tell_evidence(self) -> None:
        """Once, that a codec tells less than H.264 does."""
        if self._codec != "h264" and not self._told_codec:
            self._told_codec = True
            log.warning(
                "%s: %s tells no motion vectors; evidence is the plain difference of pictures, and packet sizes",
                self._name or "decoder",
                self._codec,
            )

    def _give_up(self, before: int) -> None:
        """Packets numbered below `before` that gave no picture will give none."""
        while self._waiting and (oldest := next(iter(self._waiting))) < before:
            self._skip("no_picture", self._waiting.pop(oldest)[0])

    def _skip(self, reason: str, packet: Packet) -> None:
        self.skipped[reason] += 1
        self._unlogged[reason] += 1
        self._lost.append(packet)
        now_s = self._monotonic()
        if now_s >= self._next_log_s:
            self._next_log_s = now_s + _LOG_EVERY_S
            counts = ", ".join(f"{count} {why}" for why, count in sorted(self._unlogged.items()))
            log.warning("%s: skipped %s at %.2f s", self._name or "decoder", counts, packet.media_s)
            self._unlogged.clear()


def _open(codec: str, with_qp: bool, max_picture_px: int) -> av.VideoCodecContext:
    context = cast(av.VideoCodecContext, av.CodecContext.create(_BARE_NAMES.get(codec, codec), "r"))
    context.thread_count = 1
    context.options = {"flags2": "+export_mvs", "max_pixels": str(max_picture_px)}
    if with_qp:
        context.options |= {"export_side_data": "venc_params"}
    return context

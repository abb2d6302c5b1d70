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

from ov2.log_limit import LogLimit
from stream.codec.buffers import flat
from stream.codec.codec import BlockGrids, Codec
from stream.codec.codecs import codec_of, starts_decoding
from stream.codec.frame import Frame
from stream.codec.h264.parameter_sets import LARGEST_PICTURE_PX
from stream.codec.motion import MOTION_VECTOR, mean_qp
from stream.codec.picture import Picture
from stream.codec.pixels import Pixels
from stream.codec.slice_reader import SliceData, SliceReader
from stream.units import Packet

log = logging.getLogger(__name__)

MAX_REORDER = 32
"""Packets that may pass before one without a picture is given up: the largest H.264 picture buffer is 16 frames (A.3.1), in
fields twice as many."""
MAX_LOST = 1024
"""Packets without a picture kept for `take_lost`; the oldest go first."""
_PICTURE_TYPES = {1: "I", 2: "P", 3: "B", 4: "S", 5: "SI", 6: "SP", 7: "BI"}
"""FFmpeg's AVPictureType."""
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


class DecodedFrame(Frame):
    """A decoded picture, light: side data and pixels are read when asked.

    - `picture_type`: I, P or B.
    - `picture`: the PyAV frame; holds the decoder's picture buffer as long as it lives.
    """

    __slots__ = ("_luma", "_macroblocks", "_side_data", "picture", "picture_type")

    def __init__(
        self,
        frame_id: int,
        packet: Packet,
        picture: av.VideoFrame,
        macroblocks: Callable[[], BlockGrids | None] | None = None,
        media_s: float | None = None,
    ) -> None:
        super().__init__(frame_id, packet, packet.pts_s if media_s is None else media_s, (picture.width, picture.height))
        self.picture = picture
        self.picture_type = _PICTURE_TYPES.get(int(picture.pict_type), "?")
        self._macroblocks = macroblocks
        self._luma: Luma | None = None
        self._side_data: tuple[float, np.ndarray | None] | None = None

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

    def hold(self) -> Pixels:
        return Pixels(Picture(self.picture))

    def macroblocks(self) -> BlockGrids | None:
        """Bits of every macroblock, read from the packet now unless they were before; None where that was not asked for, or cannot be
        done."""
        return self._macroblocks() if self._macroblocks is not None else None

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


def shown_at(pts_s: float, before_s: float) -> float:
    """Media time of a picture shown after one of `before_s`; small steps back are taken out."""
    return round(before_s + LEAST_STEP_S, 3) if 0.0 <= before_s - pts_s <= STEP_BACK_S else pts_s


class Decoder:
    """Decoder of one stream. Not thread safe: it belongs to the thread that pushes.

    `skipped` counts, by reason: `empty_packet` (FFmpeg takes one for the end of the stream, and every packet after it is refused),
    `no_keyframe` (packets before the first picture that decoding can start at), `damaged_packet` (refused by the decoder),
    `damaged_frame` (decoded with errors, so its pixels are guesses), `no_picture` (accepted, but never shown).

    Without `with_qp` frames do not tell their quantiser, which saves a few percent of decoding. `with_macroblocks`: frames tell the
    bits of their macroblocks, where the slice data can be read; the first reason why it cannot is logged, and `unread` counts the
    pictures that were asked for in vain, by reason. `slices`: what reads the slice data, where others ask it, too. No memory is taken for
    pictures of more than `max_picture_px`: they are `damaged_packet`.
    """

    def __init__(
        self,
        name: str = "",
        *,
        with_qp: bool = True,
        with_macroblocks: bool = False,
        slices: SliceReader | None = None,
        max_picture_px: int = LARGEST_PICTURE_PX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.skipped: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()
        self.num_frames = 0
        self._name = name
        self._with_qp = with_qp
        self._max_picture_px = max_picture_px
        self._slices = (slices or SliceReader()) if with_macroblocks else None
        self._told_unread = False
        self._told_codec = False
        self._context: av.VideoCodecContext | None = None
        self._codec: Codec | None = None
        self._waiting: dict[int, tuple[Packet, SliceData | None]] = {}
        self._shown_s = -math.inf
        self._lost: deque[Packet] = deque(maxlen=MAX_LOST)
        self._num_packets = 0
        self._started = False
        self._log_limit = LogLimit(monotonic=monotonic)
        self._unlogged: Counter[str] = Counter()

    def push(self, packet: Packet) -> list[DecodedFrame]:
        """Decode one packet; zero or more frames become due, in display order."""
        codec = codec_of(packet.codec)
        frames = self.flush() if self._context is not None and codec != self._codec else []
        if len(packet.data) <= codec.empty_bytes:  # AV1 shows a picture again in three bytes
            self._skip("empty_packet", packet)
            return frames
        if not self._started:
            if not starts_decoding(packet):
                self._skip("no_keyframe", packet)
                return frames
            self._started = True
        if self._context is None:
            self._context = open_decoder(codec, max_picture_px=self._max_picture_px, with_vectors=True, with_qp=self._with_qp)
            self._codec = codec
            self._tell_evidence(codec)
        unit = av.Packet(packet.data)
        unit.pts = self._num_packets
        self._waiting[self._num_packets] = (
            packet,
            self._slices.of(packet) if self._slices is not None and codec.has_bits else None,
        )
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
            packet, slices = waited
            if picture.is_corrupt:
                self._skip("damaged_frame", packet)
                continue
            macroblocks = partial(self._whole, slices) if slices is not None else None
            frames.append(DecodedFrame(self.num_frames, packet, picture, macroblocks, self._shown_at(packet.pts_s)))
            self.num_frames += 1
        return frames

    def _shown_at(self, pts_s: float) -> float:
        self._shown_s = shown_at(pts_s, self._shown_s)
        return self._shown_s

    def _whole(self, slices: SliceData) -> BlockGrids | None:
        """Macroblocks of a packet, if they can be relied on."""
        grids = slices.grids()
        if grids is not None and grids.is_whole:
            return grids
        reason = "unreadable" if grids is None else grids.refused or "damaged"
        self.unread[reason] += 1
        if not self._told_unread:
            self._told_unread = True
            log.warning(
                "%s: no bits per macroblock (%s); evidence is motion, residual and size", self._name or "decoder", reason
            )
        return None

    def _tell_evidence(self, codec: Codec) -> None:
        """Once, that a codec tells less than H.264 does."""
        if not codec.has_vectors and not self._told_codec:
            self._told_codec = True
            log.warning(
                "%s: %s tells no motion vectors; evidence is the plain difference of pictures, and packet sizes",
                self._name or "decoder",
                codec.name,
            )

    def _give_up(self, before: int) -> None:
        """Packets numbered below `before` that gave no picture will give none."""
        while self._waiting and (oldest := next(iter(self._waiting))) < before:
            self._skip("no_picture", self._waiting.pop(oldest)[0])

    def _skip(self, reason: str, packet: Packet) -> None:
        self.skipped[reason] += 1
        self._unlogged[reason] += 1
        self._lost.append(packet)
        if self._log_limit.allows():
            counts = ", ".join(f"{count} {why}" for why, count in sorted(self._unlogged.items()))
            log.warning("%s: skipped %s at %.2f s", self._name or "decoder", counts, packet.media_s)
            self._unlogged.clear()


def open_decoder(
    codec: Codec, *, max_picture_px: int, with_vectors: bool = False, with_qp: bool = False
) -> av.VideoCodecContext:
    """FFmpeg's decoder on one thread; on request it tells motion vectors, and quantisers."""
    context = cast(av.VideoCodecContext, av.CodecContext.create(codec.decoder, "r"))
    context.thread_count = 1
    context.options = {"max_pixels": str(max_picture_px)}
    if with_vectors:
        context.options |= {"flags2": "+export_mvs"}
    if with_qp:
        context.options |= {"export_side_data": "venc_params"}
    return context

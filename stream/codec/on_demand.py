"""Packets to frames whose pixels are decoded once somebody asks: what is never shown is never decoded.

In: `Packet`s in decode order. Out: frames in display order, each paired with its packet. From an IDR picture on that promises that pictures are
shown in the order in which they come, frames are told by their packets (`CodedFrame`), and a `CodedVideoSequence` decodes as much as is
asked for. Before it, and where a stream cannot be read that way (another codec, interlaced, B pictures, keyframes that are not IDR), frames
come out of a `Decoder`, all decoded. What has been decoded never changes which frames there are.

Undecoded pictures never exceed what decodes in `catch_up_s` by the running estimate, so that a question waits no longer for them: beyond
that the oldest are decoded. With 0 every picture is decoded as it comes.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence

from stream.codec.codec import CATCH_UP_S, SequenceStart
from stream.codec.codecs import codec_of
from stream.codec.coded_video_sequence import CodedVideoSequence
from stream.codec.decode import MAX_LOST, DecodedFrame, Decoder, shown_at
from stream.codec.frame import CodedFrame, Frame
from stream.codec.h264.parameter_sets import LARGEST_PICTURE_PX
from stream.codec.picture_decoder import PictureDecoder
from stream.codec.slice_reader import SliceReader
from stream.units import Packet

SAMPLE_BITS = 8
"""Of a luma sample, in streams whose slice data is read."""

NO_START = "no IDR picture has come that pictures could wait behind"

log = logging.getLogger(__name__)


class OnDemandDecoder:
    """Not thread safe: it belongs to the thread that pushes. `decoder`: for what has to be decoded at once. `slices`: of the same packets.
    `skipped` counts as the decoder does. `why_whole`: why pictures are all decoded now; empty where they are not.

    `is_allowed`: set it to False while frames have to come out decoded; it takes effect at the next IDR picture.
    `is_quiet`: set it while nobody will ask for more than one picture of older sequences: they do not count then."""

    def __init__(
        self,
        decoder: Decoder,
        slices: SliceReader,
        *,
        name: str = "",
        catch_up_s: float = CATCH_UP_S,
        max_picture_px: int = LARGEST_PICTURE_PX,
    ) -> None:
        self.is_allowed, self.is_quiet = True, False
        self.why_whole = ""
        self._decoder = decoder
        self._slices = slices
        self._name = name
        self._catch_up_s = catch_up_s
        self._max_picture_px = max_picture_px
        self._decoders: dict[str, PictureDecoder] = {}
        self._held: tuple[int, tuple[int, int]] | None = None
        self._codec = ""
        self._newest: CodedVideoSequence | None = None
        self._older: list[CodedVideoSequence] = []
        self._older_debt_s = 0.0
        self._num_frames = self._num_whole = 0
        self._shown_s = -math.inf
        self._lost: list[Packet] = []
        self._skipped: Counter[str] = Counter()
        self._order = _Order()

    @property
    def is_on_demand(self) -> bool:
        """Whether frames wait to be decoded now."""
        return self._newest is not None

    @property
    def num_frames(self) -> int:
        """Frames so far."""
        return self._num_frames

    @property
    def num_decoded(self) -> int:
        """Pictures decoded so far."""
        return self._num_whole + sum(each.num_decoded for each in self._decoders.values())

    @property
    def decoded_share(self) -> float | None:
        """Pictures decoded, of all so far; None before the first."""
        return min(1.0, self.num_decoded / self._num_frames) if self._num_frames else None

    @property
    def skipped(self) -> Counter[str]:
        return sum((each.skipped for each in self._decoders.values()), self._decoder.skipped + self._skipped)

    def keep(self, held_frames: int, canvas_wh: tuple[int, int]) -> None:
        """So many decoded pictures stay at full size; older ones that somebody holds go down to canvas size."""
        self._held = held_frames, canvas_wh
        for each in self._decoders.values():
            each.held_frames, each.canvas_wh = self._held

    def push(self, packet: Packet) -> list[Frame]:
        """Take the next packet; zero or more frames become due, in display order."""
        codec = codec_of(packet.codec)
        frames: list[Frame] = []
        if self._newest is not None and packet.codec != self._codec:
            self._end_sequence()
        if packet.is_key and (sequence := codec.sequence(packet.data)) is not None:
            frames += self._begin(packet.codec, sequence)
        picture_type = self._slices.of(packet).picture_type
        self._order.see(picture_type)
        if self._newest is None:
            self.why_whole = self.why_whole or NO_START
            return [*frames, *self._whole(self._decoder.push(packet))]
        if not picture_type:
            self._skipped["no_picture"] += 1
            self._lost = [*self._lost, packet][-MAX_LOST:]
            return frames
        frame = self._coded(self._newest, packet)
        self._pay(self._newest)
        return [*frames, frame]

    def flush(self) -> list[Frame]:
        """The frames still held for reordering; a new start is waited for then. What was told already can still be asked for its pixels."""
        self._end_sequence()
        self._shown_s = -math.inf
        return self._whole(self._decoder.flush())

    def take_lost(self) -> list[Packet]:
        """As `Decoder.take_lost`."""
        lost, self._lost = self._lost, []
        return [*self._decoder.take_lost(), *lost]

    def _begin(self, codec: str, sequence: SequenceStart) -> list[Frame]:
        """An IDR picture comes next."""
        self._order.begin()
        self.why_whole = self._refuses(sequence)
        if self.why_whole:
            if self._newest is not None or not self._num_frames:
                log.info("%s: every picture is decoded: %s", self._name or "stream", self.why_whole)
            self._end_sequence()
            return []
        frames = self._whole(self._decoder.flush())
        self._end_sequence()
        if codec not in self._decoders:
            self._decoders[codec] = PictureDecoder(codec_of(codec), max_picture_px=self._max_picture_px)
            if self._held is not None:
                self.keep(*self._held)
        self._codec, self._newest = codec, CodedVideoSequence(self._decoders[codec], sequence.size_px)
        return frames

    def _refuses(self, sequence: SequenceStart) -> str:
        """Why pictures of a sequence cannot wait; empty where they can."""
        width, height = sequence.size_px
        if not self.is_allowed:
            return "its slice data does not tell what happens"
        if not sequence.is_progressive:
            return "it is interlaced"
        if sequence.bit_depth != SAMPLE_BITS:
            return f"it has {sequence.bit_depth} bits a sample"
        if width * height > self._max_picture_px:
            return f"it has more than {self._max_picture_px} pixels"
        return self._order.refuses(sequence)

    def _end_sequence(self) -> None:
        if self._newest is not None:
            self._newest.close()
            self._older = [sequence for sequence in (*self._older, self._newest) if sequence.num_waiting]
            self._trim()
            self._newest = None
            self._decoder.num_frames = self._num_frames

    def _trim(self) -> None:
        """Drop what nobody will ask for of sequences that are over."""
        for sequence in self._older:
            sequence.trim()
        self._older = [sequence for sequence in self._older if sequence.num_waiting]
        self._older_debt_s = sum(sequence.debt_s() for sequence in self._older)

    def _whole(self, decoded: Sequence[DecodedFrame]) -> list[Frame]:
        """Frames of the decoder."""
        if decoded:
            self._num_frames, self._shown_s = decoded[-1].frame_id + 1, decoded[-1].media_s
            self._num_whole += len(decoded)
        return list(decoded)

    def _coded(self, sequence: CodedVideoSequence, packet: Packet) -> Frame:
        self._shown_s = shown_at(packet.pts_s, self._shown_s)
        pixels = sequence.add(packet)
        frame = CodedFrame(self._num_frames, packet, self._shown_s, sequence.size_px, pixels)
        self._num_frames += 1
        return frame

    def _pay(self, newest: CodedVideoSequence) -> None:
        """Decode what waits beyond the bound, the oldest first."""
        older_s = 0.0 if self.is_quiet else self._older_debt_s
        if newest.debt_s() + older_s <= self._catch_up_s:
            return
        self._trim()
        counted = [newest] if self.is_quiet else [*self._older, newest]
        while sum(sequence.debt_s() for sequence in counted) > self._catch_up_s:
            next(sequence for sequence in counted if sequence.num_waiting).decode_next()
        self._older_debt_s = sum(sequence.debt_s() for sequence in self._older)


class _Order:
    """Whether a stream shows its pictures in the order in which they come, by what it promises and by what was seen of it. One that promises
    nothing has to have come without B pictures from one IDR picture to the next."""

    def __init__(self) -> None:
        self._num_seen = 0
        self._has_b = False
        self._is_seen = False

    def see(self, picture_type: str) -> None:
        self._num_seen += 1
        self._has_b |= picture_type == "B"

    def begin(self) -> None:
        """An IDR picture comes next."""
        self._is_seen |= self._num_seen > 1
        self._num_seen = 0

    def refuses(self, sequence: SequenceStart) -> str:
        if self._has_b or sequence.reorders:
            return "it has B pictures"
        if sequence.reorders is None and not self._is_seen:
            return "it does not say whether it has B pictures, so its first group of pictures has to show it"
        return ""

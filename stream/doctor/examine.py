"""What came, taken through the service's own line: tokenized, decoded plainly for comparison, and looked at picture by picture.

In: packets. Out: `Examination`. Three passes over the same packets: the tokenizer as the service runs it (timed), a plain decoder
(timed), and a decoder that tells quantisers, vectors and bits (not timed, since the service does not pay for it).
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np

from ov2.canvas import CanvasGroup
from stream.codec.codecs import codec_of
from stream.codec.decode import DecodedFrame, Decoder
from stream.doctor.observe import Tell
from stream.tokenizer.inputs import AnyTokenizer, new_tokenizer
from stream.tokenizer.planner import CanvasPlan, plan
from stream.tokenizer.settings import TokenizerSettings
from stream.tokenizer.stats import TokenizerStats
from stream.units import Packet

READ_EVERY = 4
"""Slice data of one picture in so many is read, to see whether it can be."""
NO_PICTURE_WH = (640, 360)
"""What is planned for where no picture came."""
_LOOK_EVERY = 32
"""Packets between two looks at memory, and at the progress bar."""
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameNote:
    """One picture: `qp` NaN where the codec does not tell; `motion_px` mean length of its vectors, None without any; `readable`: whether
    its slice data could be read, None where that was not tried."""

    pts_s: float
    type: str
    num_bytes: int
    is_key: bool
    qp: float
    motion_px: float | None
    readable: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """`frames` in display order; `dropped`, `unread`: by reason, as `Decoder` counts them. `tokenize_cpu_s`, `decode_cpu_s`: processor
    time of the tokenizer and of plain decoding. `active_s`: media seconds of active groups. `decoded_share`: pictures
    that the tokenizer decoded; `why_decoded`: why it was all, where it could have been fewer. `grown_bytes`: memory that tokenizing took, None
    where the system does not tell."""

    frames: tuple[FrameNote, ...]
    dropped: Counter[str]
    unread: Counter[str]
    stats: TokenizerStats
    canvases: tuple[int, ...]
    num_blocks: int
    active_s: float
    decoded_share: float
    why_decoded: str
    plan: CanvasPlan
    tokenize_cpu_s: float
    decode_cpu_s: float
    grown_bytes: int | None


def warm_up() -> None:
    """Load everything that the passes run, so that none of it is measured."""
    import ov2.prompt  # noqa: F401
    from stream.codec import effort, evidence
    from stream.codec.h264.slice_data import parser
    from stream.tokenizer import saliency

    for part in (effort, evidence, parser, saliency):
        part.warm_up()


def examine(
    packets: Sequence[Packet], settings: TokenizerSettings | None = None, *, tell: Tell = lambda what, share: None
) -> Examination:
    """Take packets, in decode order, through all passes."""
    warm_up()
    settings = settings or TokenizerSettings()
    tokenizer = new_tokenizer(settings, name="doctor")
    groups, tokenize_cpu_s, grown_bytes = _tokenize(tokenizer, packets, tell)
    decode_cpu_s = _decode_plainly(packets, tell)
    decoder = Decoder("doctor", with_qp=True, with_macroblocks=True)
    frames = tuple(_look(decoder, packets, tell))
    return Examination(
        frames=frames,
        dropped=Counter(tokenizer.stats.dropped),
        unread=Counter(decoder.unread),
        stats=tokenizer.stats,
        canvases=tuple(group.num_canvases for group in groups),
        num_blocks=sum(group.num_blocks for group in groups),
        active_s=sum(group.end_s - group.start_s for group in groups if group.is_active),
        decoded_share=tokenizer.decoded_share or 0.0,
        why_decoded=tokenizer.why_decoded,
        plan=tokenizer.plan or plan(settings, NO_PICTURE_WH),
        tokenize_cpu_s=tokenize_cpu_s,
        decode_cpu_s=decode_cpu_s,
        grown_bytes=grown_bytes,
    )


def _stepped(packets: Sequence[Packet], what: str, tell: Tell) -> Iterator[Packet]:
    for number, packet in enumerate(packets):
        if number % _LOOK_EVERY == 0:
            tell(what, number / len(packets))
        yield packet


def _tokenize(tokenizer: AnyTokenizer, packets: Sequence[Packet], tell: Tell) -> tuple[list[CanvasGroup], float, int | None]:
    groups: list[CanvasGroup] = []
    before = most = resident_bytes()
    spent_s = 0.0
    for number, packet in enumerate(_stepped(packets, "tokenizing", tell)):
        began_s = time.thread_time()
        groups += tokenizer.push(packet)
        spent_s += time.thread_time() - began_s
        if number % _LOOK_EVERY == 0 and most is not None:
            most = max(most, resident_bytes() or 0)
    began_s = time.thread_time()
    groups += tokenizer.flush()
    spent_s += time.thread_time() - began_s
    return groups, spent_s, most - before if most is not None and before is not None else None


def _decode_plainly(packets: Sequence[Packet], tell: Tell) -> float:
    """Processor seconds of FFmpeg's decoder alone, one thread, nothing asked of it but pictures."""
    if not packets:
        return 0.0
    context = cast(av.VideoCodecContext, av.CodecContext.create(codec_of(packets[0].codec).decoder, "r"))
    context.thread_count = 1
    spent_s = 0.0
    for packet in _stepped(packets, "decoding, to compare", tell):
        unit = av.Packet(packet.data)
        began_s = time.thread_time()
        try:
            context.decode(unit)
        except av.FFmpegError:
            continue  # counted by the tokenizer's decoder, which met it before
        finally:
            spent_s += time.thread_time() - began_s
    return spent_s


def _look(decoder: Decoder, packets: Sequence[Packet], tell: Tell) -> Iterator[FrameNote]:
    number = 0
    for packet in _stepped(packets, "looking closer", tell):
        for frame in decoder.push(packet):
            yield _note(frame, read=number % READ_EVERY == 0)
            number += 1
    for frame in decoder.flush():
        yield _note(frame, read=False)


def _note(frame: DecodedFrame, *, read: bool) -> FrameNote:
    (qp, vectors), codec = frame.side_data(), codec_of(frame.packet.codec)
    return FrameNote(
        pts_s=frame.media_s,
        type=frame.picture_type,
        num_bytes=frame.packet.size_bytes,
        is_key=frame.is_key,
        qp=qp if codec.has_qp else math.nan,  # other codecs count in other steps
        motion_px=_mean_length(vectors) if vectors is not None and len(vectors) else None,
        readable=frame.macroblocks() is not None if read and codec.has_bits else None,
    )


def _mean_length(vectors: np.ndarray) -> float:
    """Luma pixels, each vector weighted by the area that it moves."""
    scale = np.maximum(vectors["motion_scale"], 1)
    length = np.hypot(vectors["motion_x"], vectors["motion_y"]) / scale
    area = vectors["w"].astype(np.int64) * vectors["h"]
    mean = float(np.average(length, weights=area)) if area.sum() else 0.0
    return mean if math.isfinite(mean) else 0.0


def resident_bytes() -> int | None:
    """Memory of this process, None where /proc does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None

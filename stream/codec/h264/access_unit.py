"""The canonical access unit: the same bytes for the same picture, whichever way it came.

Containers and cameras wrap one picture differently: length prefixes or start codes, parameter sets once in a header or again
and again in the stream, delimiters and filler or none. `Canonicaliser` takes those differences out.

In: packet bytes and codec extradata. Out: `AccessUnit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from stream.codec.h264.annexb import (
    START_CODE,
    TYPE_MASK,
    NalType,
    avcc_adds_up,
    avcc_length_bytes,
    has_recovery_point,
    is_avcc_record,
    is_intra_slice,
    is_later_slice,
    join_annexb,
    nal_type,
    parameter_sets,
    split_annexb,
    split_avcc,
)
from stream.codec.h264.parameter_sets import parameter_set_id, picture_size
from stream.errors import TooLargeError

_PARAMETER_SETS = frozenset({int(NalType.SPS), int(NalType.PPS)})
_DROPPED = frozenset(
    int(kind)
    for kind in (
        NalType.DELIMITER,
        NalType.FILLER,
        NalType.END_OF_STREAM,
        NalType.PREFIX,
        NalType.SUBSET_SPS,
        NalType.EXTENSION,
    )
)
"""Units that change no decoded picture of the base layer, and that some containers strip."""

_MAX_HELD, _MAX_HELD_BYTES = 16, 1 << 20
"""Units kept for the next picture when packets without slices come; a stream of nothing else must not grow."""
MAX_UNITS = 16_384
"""Units of one packet. A picture has at most a slice per macroblock, which nobody sends: 4K has 32,400 of them."""
MAX_SET_BYTES = (1 << 16) - 1
"""Longest parameter set: what a container's record has room for (ISO/IEC 14496-15 5.2.4.1). A longer one is left out."""
_MAX_SEI_UNITS = 64
"""SEI units of a picture in which a recovery point is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnit:
    """One picture as Annex B, ready for a `Packet`.

    - `data`: every unit behind a four-byte start code; all parameter sets in front of a random access point, changed ones in
      front of any other picture.
    - `size_bytes`: bytes of the slices alone.
    - `is_key`: an IDR picture, or an intra picture with a recovery point.
    - `starts`: decoding may start here (a key, a recovery point, or an intra picture).
    - `size_px`: displayed (width, height), None until a sequence parameter set has been seen.
    - `resized`: the picture size differs from that of the unit before.
    - `continues`: the first slice is not the picture's first (its first_mb_in_slice is not 0).
    """

    data: bytes
    size_bytes: int
    is_key: bool
    starts: bool
    size_px: tuple[int, int] | None
    resized: bool
    continues: bool = False


class Canonicaliser:
    """Turns packets of one H.264 stream into canonical access units. Holds the parameter sets in force.

    `num_in_band_sets`: sequence parameter sets that came inside packets, which canonical units do not tell any more."""

    def __init__(self, extradata: bytes = b"") -> None:
        self.num_in_band_sets = 0
        self._length_bytes = 0
        self._sets: dict[tuple[int, int], bytes] = {}
        self._size_px: tuple[int, int] | None = None
        self._shown_px: tuple[int, int] | None = None
        self._held: list[bytes] = []
        self.set_extradata(extradata)

    def set_extradata(self, extradata: bytes) -> None:
        """Take parameter sets and the packet form from codec extradata, at the start or when a container changes it."""
        if extradata:
            self._length_bytes = avcc_length_bytes(extradata) if is_avcc_record(extradata) else 0
        for nal in parameter_sets(extradata):
            self._remember(nal)

    def split(self, data: bytes) -> list[bytes]:
        """NAL units of a packet, in the form that the extradata told. Annex B behind an AVCC record, which some muxers write,
        is recognised by its start code and because the lengths do not add up."""
        if not self._length_bytes:
            return split_annexb(data, MAX_UNITS + 1)
        if data.startswith(START_CODE) and not avcc_adds_up(data, self._length_bytes):
            return split_annexb(data, MAX_UNITS + 1)
        return split_avcc(data, self._length_bytes, MAX_UNITS + 1)

    def push(self, data: bytes) -> AccessUnit | None:
        """One packet in, one unit out. A packet without slices gives None; its units go in front of the next picture.

        Raises `TooLargeError` for one of more than `MAX_UNITS` units."""
        nals = self.split(data)
        if len(nals) > MAX_UNITS:
            raise TooLargeError(
                "many_units", f"expected at most {MAX_UNITS} units in a picture, got more; let fewer slices be sent"
            )
        if not self._held and self._shown_px == self._size_px and _is_one_plain_slice(nals):
            return AccessUnit(
                data=START_CODE + nals[0],
                size_bytes=len(START_CODE) + len(nals[0]),
                is_key=False,
                starts=False,
                size_px=self._size_px,
                resized=False,
                continues=is_later_slice(nals[0]),
            )
        kept, self._held = self._held, []
        for nal in nals:
            kind = nal[0] & TYPE_MASK
            if kind in _PARAMETER_SETS:
                if len(nal) > MAX_SET_BYTES:
                    continue
                self.num_in_band_sets += kind == NalType.SPS
                if self._remember(nal):
                    kept.append(nal)
            elif kind not in _DROPPED:
                kept.append(nal)
        start = start_of(kept)
        if start is None:
            self._held = kept[-_MAX_HELD:] if sum(map(len, kept[-_MAX_HELD:])) <= _MAX_HELD_BYTES else []
            return None
        if start.starts and self._sets:
            sets = [self._sets[key] for key in sorted(self._sets)]
            kept = sets + [nal for nal in kept if nal[0] & TYPE_MASK not in _PARAMETER_SETS]
        resized = self._shown_px is not None and self._size_px != self._shown_px
        self._shown_px = self._size_px
        return AccessUnit(
            data=join_annexb(kept),
            size_bytes=start.slice_bytes,
            is_key=start.is_key,
            starts=start.starts,
            size_px=self._size_px,
            resized=resized,
            continues=start.continues,
        )

    def _remember(self, nal: bytes) -> bool:
        """Store a parameter set; True when it is new or differs. The newest sequence parameter set tells the size."""
        key = (nal_type(nal), parameter_set_id(nal))
        if self._sets.get(key) == nal:
            return False
        self._sets[key] = nal
        if key[0] == NalType.SPS:
            self._size_px = picture_size(nal) or self._size_px
        return True


def _is_one_plain_slice(nals: Sequence[bytes]) -> bool:
    """What most packets of a camera are: one slice that leans on the pictures before it. It needs no taking apart."""
    return len(nals) == 1 and nals[0][0] & TYPE_MASK == NalType.SLICE and not is_intra_slice(nals[0])


class Start(NamedTuple):
    """What the slices of a picture tell: their bytes (four-byte start codes included: what a picture costs, whatever the
    container), whether it is a key, whether decoding may start at it, and whether its first slice is not the picture's first."""

    slice_bytes: int
    is_key: bool
    starts: bool
    continues: bool


def start_of(nals: Sequence[bytes]) -> Start | None:
    """Read it from the slice headers and the recovery point message; None without slices."""
    num_bytes, num_slices, num_intra, num_sei = 0, 0, 0, 0
    is_idr = recovery = continues = False
    for nal in nals:
        kind = nal[0] & TYPE_MASK
        if NalType.SLICE <= kind <= NalType.IDR:
            num_bytes += len(START_CODE) + len(nal)
            continues = continues or (num_slices == 0 and is_later_slice(nal))
            num_slices += 1
            is_idr = is_idr or kind == NalType.IDR
            num_intra += kind != NalType.IDR and is_intra_slice(nal)
        elif kind == NalType.SEI and num_sei < _MAX_SEI_UNITS:
            num_sei += 1
            recovery = recovery or has_recovery_point(nal)
    if not num_slices:
        return None
    intra = num_intra == num_slices
    return Start(num_bytes, is_idr or (intra and recovery), is_idr or intra or recovery, continues)


def joined(first: AccessUnit, *rest: AccessUnit) -> AccessUnit:
    """The pieces of one picture as one unit."""
    slices = [nal for piece in rest for nal in split_annexb(piece.data) if nal[0] & TYPE_MASK not in _PARAMETER_SETS]
    size_bytes = first.size_bytes + sum(piece.size_bytes for piece in rest)
    return replace(first, data=first.data + join_annexb(slices), size_bytes=size_bytes)


def is_random_access(data: bytes) -> bool:
    """True when a decoder may start at this canonical access unit."""
    start = start_of(split_annexb(data))
    return start is not None and start.starts

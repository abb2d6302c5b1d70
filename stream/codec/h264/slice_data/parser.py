"""Access units to macroblocks: what every macroblock cost, with no picture made (entropy decoding alone).

In: access units of one H.264 stream in decoding order, Annex B or AVCC. Out: `MacroblockFrame`s. Nothing is raised for damaged
data: what cannot be read is told in the frame, or counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from stream.codec.h264.access_unit import Canonicaliser
from stream.codec.h264.annexb import TYPE_MASK, NalType, parameter_sets, unescape
from stream.codec.h264.parameter_sets import Pps, Sps, parameter_set_id, read_pps, read_sps
from stream.codec.h264.slice_data import slice_header as head
from stream.codec.h264.slice_data.arithmetic import new_contexts
from stream.codec.h264.slice_data.bits import END_FLAGS, MACROBLOCKS, NUM_STATE, PADDING, SIZE
from stream.codec.h264.slice_data.frame import MacroblockFrame, SliceBits
from stream.codec.h264.slice_data.grid import INDICES, NUM_COUNT, NUM_MOTION, SLICE, collect, new_grid
from stream.codec.h264.slice_data.layer import read_slice
from stream.codec.h264.slice_data.picture_order import PictureOrder

TYPES = {head.P_SLICE: "P", head.B_SLICE: "B", head.I_SLICE: "I"}
_SETS = frozenset({int(NalType.SPS), int(NalType.PPS)})
_SWITCHING = (head.SP_SLICE, head.SI_SLICE)
_PAD = bytes(PADDING)
MARK_BITS = 8
"""Behind its last CABAC bit x264 may set one of the bits that align a slice to bytes: the last one bit of a slice is then not where the
arithmetic decoder stops, but less than this many bits behind it."""
MOST_NUMBER = 1 << 30
"""Slices are numbered in 32 bits."""
_NO_VECTORS = np.zeros((0, 0, 2), np.float32)


@dataclass(slots=True, kw_only=True)
class _Picture:
    """A picture while its slices are read."""

    sps: Sps
    first_number: int
    sequence: int
    order: int
    is_reference: bool
    types: set[int] = field(default_factory=set)
    slices: list[SliceBits] = field(default_factory=list)
    damaged: bool = False

    def fits(self, sps: Sps) -> bool:
        """Whether a slice with these sets can belong to it: nothing may be written outside its grid."""
        return size_mbs(sps) == size_mbs(self.sps)


class Sets(NamedTuple):
    """The parameter sets of a slice. `unsupported`: why slices with them are not read; empty if they are."""

    sps: Sps
    numbers: np.ndarray
    is_cabac: bool
    unsupported: str


class MacroblockParser:
    """Reads one stream. Not thread safe. `extradata`: codec extradata of the container, where parameter sets are not in the stream.

    `with_motion`: also reconstruct the motion vectors of P slices, and tell their mean in every macroblock; `with_vectors`: tell all
    of them, too. `skipped` counts what gave no result, by reason: `no_picture` (access
    units without slices), `no_parameter_sets`, `bad_header` (slices).
    """

    def __init__(self, extradata: bytes = b"", *, with_motion: bool = False, with_vectors: bool = False) -> None:
        self.skipped: Counter[str] = Counter()
        self._with_motion, self._with_vectors = with_motion or with_vectors, with_vectors
        self._splitter = Canonicaliser(extradata)
        self._seen: Sequence[bytes] = ()
        self._sets: dict[tuple[int, int], bytes] = {}
        self._sps: dict[int, Sps] = {}
        self._pps: dict[int, Pps] = {}
        self._pairs: dict[int, Sets] = {}
        self._order = PictureOrder()
        self._size, self._grid, self._number = (0, 0), self._new_grid(0, 0), 0
        self._state = np.zeros(NUM_STATE, np.int64)
        self._header = np.zeros(head.NUM_HEADER, np.int64)
        self._contexts = new_contexts()
        self.see_parameter_sets(parameter_sets(extradata))

    @property
    def pps_id(self) -> int:
        """Of the newest slice."""
        return int(self._header[head.PPS_ID])

    def see_parameter_sets(self, nals: Sequence[bytes]) -> None:
        """Take SPS and PPS units, from an access unit or from beside the stream. A damaged one is ignored; other units are, too."""
        if nals is self._seen:
            return  # nor were others seen since
        for nal in nals:
            kind = nal[0] & TYPE_MASK
            if kind not in _SETS:
                continue
            self._seen = nals
            key = kind, parameter_set_id(nal)
            if self._sets.get(key) == nal:
                continue
            if kind == NalType.SPS and (sps := read_sps(nal)) is not None:
                self._sps[sps.seq_parameter_set_id] = sps
            elif kind == NalType.PPS and (pps := read_pps(nal)) is not None:
                self._pps[pps.pic_parameter_set_id] = pps
            else:
                continue
            self._sets[key] = nal
            self._pairs.clear()

    def push(self, access_unit: bytes) -> MacroblockFrame | None:
        """Read one access unit. None where it holds no picture, or none whose parameter sets are known."""
        nals = self._splitter.split(access_unit)
        self.see_parameter_sets(nals)
        picture: _Picture | None = None
        for nal in nals:
            kind = nal[0] & TYPE_MASK
            if kind == NalType.PARTITION_A:
                return self._refused("data partitioning", nal)
            if kind != NalType.SLICE and kind != NalType.IDR:
                continue
            read = self._slice(nal, picture)
            if isinstance(read, MacroblockFrame):
                return read
            picture = read
        if picture is None:
            self.skipped["no_picture"] += 1
            return None
        return self._frame(picture)

    def _slice(self, nal: bytes, picture: _Picture | None) -> _Picture | MacroblockFrame | None:
        """Read one slice into the picture, or into a new one. A frame: the picture is refused."""
        payload = unescape(nal[1:])
        data = np.frombuffer(payload + _PAD, np.uint8)
        state, header = self._state, self._header
        state[:] = 0
        state[SIZE] = len(data)
        sets = self.sets_of(int(header[head.PPS_ID])) if head.read_start(data, state, header) else None
        if sets is None:
            return self._lost("no_parameter_sets", picture)
        reason = sets.unsupported or ("switching slices" if header[head.SLICE_TYPE] in _SWITCHING else "")
        if not reason and not head.read_rest(data, state, sets.numbers, nal[0], header):
            return self._lost("bad_header", picture)
        told: list[int] = header.tolist()
        if reason or told[head.FIELD]:
            return self._refused(reason or "interlaced", nal)
        if told[head.REDUNDANT_COUNT]:
            return picture
        if picture is None:
            picture = self._begin(nal[0], sets.sps, told)
        elif not picture.fits(sets.sps):
            return self._lost("bad_header", picture)
        self._read(nal, payload, data, sets, told, picture)
        return picture

    def _read(self, nal: bytes, payload: bytes, data: np.ndarray, sets: Sets, header: list[int], picture: _Picture) -> None:
        """Slice data, and its account."""
        cells, counts, motion = self._grid
        first = header[head.FIRST_MB]
        if counts[first * NUM_COUNT + SLICE] >= picture.first_number:
            picture.damaged = True  # another picture, or the same one twice
            return
        whole = payload.rstrip(b"\x00")
        stop = 8 * len(whole) - (whole[-1] & -whole[-1]).bit_length() if whole else 0
        picture.types.add(header[head.SLICE_TYPE])
        self._number += 1
        end, begin, at = read_slice(
            data, self._state, self._contexts, sets.numbers, self._header, cells, counts, motion, self._number, stop
        )
        damaged = not 0 <= stop - at < (MARK_BITS if sets.is_cabac else 1)
        picture.damaged |= damaged
        picture.slices.append(
            SliceBits(
                first_mb=first,
                num_mbs=end - first,
                total_bits=8 * len(nal),
                header_bits=begin,
                macroblock_bits=int(self._state[MACROBLOCKS]),
                flag_bits=int(self._state[END_FLAGS]),
                trailing_bits=8 * len(payload) - at,
                emulation_bits=8 * (len(nal) - 1 - len(payload)),
                damaged=damaged,
            )
        )

    def _begin(self, nal: int, sps: Sps, header: list[int]) -> _Picture:
        """A new picture. Its slices have numbers above those of all before it, so nothing that is left in the grid is taken for its own."""
        size = size_mbs(sps)
        if self._size != size or self._number > MOST_NUMBER:
            self._size, self._grid, self._number = size, self._new_grid(*size), 0
        sequence, order = self._order.of(sps, nal, header)
        return _Picture(
            sps=sps,
            first_number=self._number + 1,
            sequence=sequence,
            order=order,
            is_reference=nal >> 5 & 3 != 0,
        )

    def _new_grid(self, columns: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return new_grid(columns, rows, with_motion=self._with_motion, keeps_rows=self._with_vectors)

    def _frame(self, picture: _Picture) -> MacroblockFrame:
        sps, (_, counts, motion) = picture.sps, self._grid
        shape = (sps.frame_height_in_mbs, sps.pic_width_in_mbs)
        bits, levels = np.empty(shape, np.int32), np.empty(shape, np.int32)
        qp, kind = np.empty(shape, np.int8), np.empty(shape, np.uint8)
        mean_vectors = np.empty((*shape, 2), np.float32) if self._with_motion else None
        total_qp = collect(
            counts, picture.first_number, bits, qp, levels, kind, _NO_VECTORS if mean_vectors is None else mean_vectors
        )
        is_covered = sum(part.num_mbs for part in picture.slices) == bits.size
        strongest = next((kind for kind in (head.B_SLICE, head.P_SLICE) if kind in picture.types), head.I_SLICE)
        vectors = references = None
        if self._with_vectors:
            is_read = counts[SLICE::NUM_COUNT] >= picture.first_number
            by_block = motion.reshape(-1, NUM_MOTION)
            vectors = np.where(is_read[:, None], by_block[:, :INDICES], 0).astype(np.int16).reshape(*shape, 4, 4, 2)
            references = np.where(is_read[:, None], by_block[:, INDICES:], -1).astype(np.int8).reshape(*shape, 2, 2)
        return MacroblockFrame(
            bits=bits,
            qp=qp,
            levels=levels,
            kind=kind,
            mean_qp=total_qp / max(1, qp.size),
            mean_vectors=mean_vectors,
            vectors=vectors,
            references=references,
            picture_type=TYPES[strongest],
            sequence=picture.sequence,
            order=picture.order,
            is_reference=picture.is_reference,
            slices=tuple(picture.slices),
            damaged=picture.damaged or not is_covered,
            refused="",
        )

    def sets_of(self, pps_id: int) -> Sets | None:
        """A picture parameter set and its sequence's; None when they are not known."""
        sets = self._pairs.get(pps_id)
        if sets is None:
            pps = self._pps.get(pps_id)
            sps = self._sps.get(pps.seq_parameter_set_id) if pps is not None else None
            if pps is None or sps is None:
                return None
            is_cabac = bool(pps.entropy_coding_mode_flag)
            sets = self._pairs[pps_id] = Sets(sps, head.set_numbers(sps, pps), is_cabac, _unsupported(sps, pps))
        return sets

    def _lost(self, reason: str, picture: _Picture | None) -> _Picture | None:
        """A slice that cannot be read at all."""
        self.skipped[reason] += 1
        if picture is not None:
            picture.damaged = True
        return picture

    def _refused(self, reason: str, nal: bytes) -> MacroblockFrame:
        """A picture that is valid, but not read."""
        pps = self._pps.get(int(self._header[head.PPS_ID]))
        sps = self._sps.get(pps.seq_parameter_set_id) if pps is not None else None
        shape = (sps.frame_height_in_mbs, sps.pic_width_in_mbs) if sps is not None else (0, 0)
        return MacroblockFrame(
            bits=np.zeros(shape, np.int32),
            qp=np.zeros(shape, np.int8),
            levels=np.zeros(shape, np.int32),
            kind=np.zeros(shape, np.uint8),
            mean_qp=0.0,
            mean_vectors=None,
            vectors=None,
            references=None,
            picture_type=TYPES.get(int(self._header[head.SLICE_TYPE]), "?"),
            sequence=max(0, self._order.sequence),
            order=0,
            is_reference=nal[0] >> 5 & 3 != 0,
            slices=(),
            damaged=False,
            refused=reason,
        )


def size_mbs(sps: Sps) -> tuple[int, int]:
    return sps.pic_width_in_mbs, sps.frame_height_in_mbs


def _unsupported(sps: Sps, pps: Pps) -> str:
    """Why slices with these sets are not read; empty if they are."""
    if sps.mb_adaptive_frame_field_flag:
        return "interlaced"
    if sps.chroma_format_idc > 1:
        return "chroma other than 4:2:0"
    if sps.bit_depth > 8:
        return "more than eight bits"
    return "slice groups" if pps.num_slice_groups > 1 else ""


def warm_up() -> None:
    """Compile (or load from the cache) everything that runs per slice."""
    numbers, header, state = (
        np.zeros(head.NUM_SET, np.int64),
        np.zeros(head.NUM_HEADER, np.int64),
        np.zeros(NUM_STATE, np.int64),
    )
    data, contexts = np.frombuffer(_PAD, np.uint8), new_contexts()
    numbers[head.MB_WIDTH] = numbers[head.MB_HEIGHT] = 1
    head.read_start(data, state, header)
    head.read_rest(data, state, numbers, 1, header)
    cells, counts, motion = new_grid(1, 1, with_motion=True)
    read_slice(data, state, contexts, numbers, header, cells, counts, motion, 0, 0)
    one = np.zeros((1, 1), np.int32)
    collect(counts, 0, one, one.astype(np.int8), one, one.astype(np.uint8), _NO_VECTORS)

"""Access units to macroblocks: what every macroblock cost, with no picture made (entropy decoding alone).

In: access units of one H.264 stream in decoding order, Annex B or AVCC. Out: `MacroblockFrame`s. Nothing is raised for damaged
data: what cannot be read is told in the frame, or counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stream.codec.h264.access_unit import Canonicaliser
from stream.codec.h264.annexb import TYPE_MASK, NalType, parameter_sets, unescape
from stream.codec.h264.parameter_sets import Pps, Sps, parameter_set_id, read_pps, read_sps
from stream.codec.h264.slice_data import slice_header as head
from stream.codec.h264.slice_data.arithmetic import new_contexts
from stream.codec.h264.slice_data.bits import END_FLAGS, NUM_STATE, PADDING, SIZE
from stream.codec.h264.slice_data.frame import MacroblockFrame, SliceBits
from stream.codec.h264.slice_data.grid import (
    BITS,
    INDICES,
    KIND,
    MB_QP,
    NUM_CELL,
    NUM_COUNT,
    NUM_MOTION,
    SLICE,
    SUM,
    new_grid,
)
from stream.codec.h264.slice_data.layer import read_slice
from stream.codec.h264.slice_data.picture_order import PictureOrder

_TYPES = {head.P_SLICE: "P", head.B_SLICE: "B", head.I_SLICE: "I"}
_PAD = bytes(PADDING)
_MARK_BITS = 8
"""Behind its last CABAC bit x264 may set one of the bits that align a slice to bytes: the last one bit of a slice is then not where the
arithmetic decoder stops, but less than this many bits behind it."""


@dataclass(slots=True, kw_only=True)
class _Picture:
    """A picture while its slices are read."""

    sps: Sps
    cells: np.ndarray
    counts: np.ndarray
    motion: np.ndarray
    sequence: int
    order: int
    is_reference: bool
    types: set[int] = field(default_factory=set)
    slices: list[SliceBits] = field(default_factory=list)
    damaged: bool = False

    def fits(self, numbers: np.ndarray) -> bool:
        """Whether a slice with these sets can belong to it: nothing may be written outside its grid."""
        size = self.sps.pic_width_in_mbs, self.sps.frame_height_in_mbs
        return (int(numbers[head.MB_WIDTH]), int(numbers[head.MB_HEIGHT])) == size


class MacroblockParser:
    """Reads one stream. Not thread safe. `extradata`: codec extradata of the container, where parameter sets are not in the stream.

    `with_vectors`: also reconstruct motion vectors of P slices. `skipped` counts what gave no result, by reason: `no_picture` (access
    units without slices), `no_parameter_sets`, `bad_header` (slices).
    """

    def __init__(self, extradata: bytes = b"", *, with_vectors: bool = False) -> None:
        self.skipped: Counter[str] = Counter()
        self._with_vectors = with_vectors
        self._splitter = Canonicaliser(extradata)
        self._sets: dict[tuple[int, int], bytes] = {}
        self._sps: dict[int, Sps] = {}
        self._pps: dict[int, Pps] = {}
        self._numbers: dict[int, np.ndarray] = {}
        self._order = PictureOrder()
        self._grid = new_grid(0, with_vectors)
        self._state = np.zeros(NUM_STATE, np.int64)
        self._header = np.zeros(head.NUM_HEADER, np.int64)
        self._contexts = new_contexts()
        self.see_parameter_sets(parameter_sets(extradata))

    def see_parameter_sets(self, nals: Sequence[bytes]) -> None:
        """Take SPS and PPS units, from an access unit or from beside the stream. A damaged one is ignored; other units are, too."""
        for nal in nals:
            kind = nal[0] & TYPE_MASK
            if kind not in (NalType.SPS, NalType.PPS):
                continue
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
            self._numbers.clear()

    def push(self, access_unit: bytes) -> MacroblockFrame | None:
        """Read one access unit. None where it holds no picture, or none whose parameter sets are known."""
        nals = self._splitter.split(access_unit)
        self.see_parameter_sets(nals)
        picture: _Picture | None = None
        for nal in nals:
            kind = nal[0] & TYPE_MASK
            if kind == NalType.PARTITION_A:
                return self._refused("data partitioning", nal)
            if kind not in (NalType.SLICE, NalType.IDR):
                continue
            read = self._slice(nal, picture)
            if isinstance(read, MacroblockFrame):
                return read
            picture = read
        if picture is None:
            self.skipped["no_picture"] += 1
            return None
        return _frame(picture)

    def _slice(self, nal: bytes, picture: _Picture | None) -> _Picture | MacroblockFrame | None:
        """Read one slice into the picture, or into a new one. A frame: the picture is refused."""
        payload = unescape(nal[1:])
        data = np.frombuffer(payload + _PAD, np.uint8)
        state, header = self._state, self._header
        state[:] = 0
        state[SIZE] = len(data)
        numbers = self._numbers_of(int(header[head.PPS_ID])) if head.read_start(data, state, header) else None
        if numbers is None:
            return self._lost("no_parameter_sets", picture)
        reason = self._unsupported(int(header[head.PPS_ID]), int(header[head.SLICE_TYPE]))
        if not reason and not head.read_rest(data, state, numbers, nal[0], header):
            return self._lost("bad_header", picture)
        if reason or header[head.FIELD]:
            return self._refused(reason or "interlaced", nal)
        if header[head.REDUNDANT_COUNT]:
            return picture
        if picture is None:
            picture = self._begin(nal[0], header)
        elif not picture.fits(numbers):
            return self._lost("bad_header", picture)
        self._read(nal, payload, data, numbers, picture)
        return picture

    def _read(self, nal: bytes, payload: bytes, data: np.ndarray, numbers: np.ndarray, picture: _Picture) -> None:
        """Slice data, and its account."""
        header, counts = self._header, picture.counts
        first = int(header[head.FIRST_MB])
        if counts[first * NUM_COUNT + SLICE] >= 0:
            picture.damaged = True  # another picture, or the same one twice
            return
        whole = payload.rstrip(b"\x00")
        stop = 8 * len(whole) - (whole[-1] & -whole[-1]).bit_length() if whole else 0
        picture.types.add(int(header[head.SLICE_TYPE]))
        end, begin, at = read_slice(
            data,
            self._state,
            self._contexts,
            numbers,
            header,
            picture.cells,
            counts,
            picture.motion,
            len(picture.slices),
            stop,
        )
        damaged = not 0 <= stop - at < (_MARK_BITS if numbers[head.CABAC] else 1)
        picture.damaged |= damaged
        picture.slices.append(
            SliceBits(
                first_mb=first,
                num_mbs=end - first,
                total_bits=8 * len(nal),
                header_bits=begin,
                macroblock_bits=int(counts[first * NUM_COUNT + BITS : end * NUM_COUNT : NUM_COUNT].sum()),
                flag_bits=int(self._state[END_FLAGS]),
                trailing_bits=8 * len(payload) - at,
                emulation_bits=8 * (len(nal) - 1 - len(payload)),
                damaged=damaged,
            )
        )

    def _begin(self, nal: int, header: np.ndarray) -> _Picture:
        """A new picture: its grid starts empty."""
        sps = self._sps[self._pps[int(header[head.PPS_ID])].seq_parameter_set_id]
        num = sps.pic_width_in_mbs * sps.frame_height_in_mbs
        if len(self._grid[0]) != num * NUM_CELL:
            self._grid = new_grid(num, self._with_vectors)
        cells, counts, motion = self._grid
        counts[:], motion[:] = 0, 0
        counts.reshape(num, NUM_COUNT)[:, SLICE] = -1
        motion.reshape(-1, NUM_MOTION)[:, INDICES:] = -1
        sequence, order = self._order.of(sps, nal, header)
        return _Picture(
            sps=sps,
            cells=cells,
            counts=counts,
            motion=motion,
            sequence=sequence,
            order=order,
            is_reference=nal >> 5 & 3 != 0,
        )

    def _numbers_of(self, pps_id: int) -> np.ndarray | None:
        """Numbers of a picture parameter set and its sequence's; None when they are not known."""
        if pps_id not in self._numbers:
            pps = self._pps.get(pps_id)
            sps = self._sps.get(pps.seq_parameter_set_id) if pps is not None else None
            if pps is None or sps is None:
                return None
            self._numbers[pps_id] = head.set_numbers(sps, pps)
        return self._numbers[pps_id]

    def _unsupported(self, pps_id: int, slice_type: int) -> str:
        """Why slices with these sets are not read; empty if they are."""
        pps = self._pps[pps_id]
        sps = self._sps[pps.seq_parameter_set_id]
        if sps.mb_adaptive_frame_field_flag:
            return "interlaced"
        if sps.chroma_format_idc > 1:
            return "chroma other than 4:2:0"
        if sps.bit_depth > 8:
            return "more than eight bits"
        if pps.num_slice_groups > 1:
            return "slice groups"
        return "switching slices" if slice_type in (head.SP_SLICE, head.SI_SLICE) else ""

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
            vectors=None,
            references=None,
            picture_type=_TYPES.get(int(self._header[head.SLICE_TYPE]), "?"),
            sequence=max(0, self._order.sequence),
            order=0,
            is_reference=nal[0] >> 5 & 3 != 0,
            slices=(),
            damaged=False,
            refused=reason,
        )


def _frame(picture: _Picture) -> MacroblockFrame:
    sps, counts, motion = picture.sps, picture.counts.reshape(-1, NUM_COUNT), picture.motion.reshape(-1, NUM_MOTION)
    shape = (sps.frame_height_in_mbs, sps.pic_width_in_mbs)
    is_covered = sum(part.num_mbs for part in picture.slices) == len(counts)
    kind = picture.cells[KIND::NUM_CELL].copy()
    if not is_covered:
        kind[counts[:, SLICE] < 0] = 0
    strongest = next((kind for kind in (head.B_SLICE, head.P_SLICE) if kind in picture.types), head.I_SLICE)
    return MacroblockFrame(
        bits=counts[:, BITS].reshape(shape).copy(),
        qp=counts[:, MB_QP].astype(np.int8).reshape(shape),
        levels=counts[:, SUM].reshape(shape).copy(),
        kind=kind.reshape(shape),
        vectors=motion[:, :INDICES].reshape(*shape, 4, 4, 2).copy() if len(motion) else None,
        references=motion[:, INDICES:].astype(np.int8).reshape(*shape, 2, 2) if len(motion) else None,
        picture_type=_TYPES[strongest],
        sequence=picture.sequence,
        order=picture.order,
        is_reference=picture.is_reference,
        slices=tuple(picture.slices),
        damaged=picture.damaged or not is_covered,
        refused="",
    )


def warm_up() -> None:
    """Compile (or load from the cache) everything that runs per slice."""
    numbers, header, state = (
        np.zeros(head.NUM_SET, np.int64),
        np.zeros(head.NUM_HEADER, np.int64),
        np.zeros(NUM_STATE, np.int64),
    )
    data, contexts = np.frombuffer(_PAD, np.uint8), new_contexts()
    head.read_start(data, state, header)
    head.read_rest(data, state, numbers, 1, header)
    read_slice(data, state, contexts, numbers, header, *new_grid(0, True), 0, 0)

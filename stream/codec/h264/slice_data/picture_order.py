"""Picture order count (H.264 8.2.1): where a picture stands among those that are displayed with it.

In: slice headers of pictures in decoding order. Out: TopFieldOrderCnt-like numbers of frames, and a count of sequences: pictures are displayed
by (sequence, order).
"""

from __future__ import annotations

from collections.abc import Sequence

from stream.codec.h264.parameter_sets import Sps
from stream.codec.h264.slice_data import slice_header as head


class PictureOrder:
    """Follows one stream."""

    def __init__(self) -> None:
        self.sequence = -1
        self._high = self._low = 0
        self._frame_num = self._frame_num_offset = 0
        self._was_reset = False

    def of(self, sps: Sps, nal: int, header: Sequence[int]) -> tuple[int, int]:
        """(sequence, order) of the next picture in decoding order, by its first slice and the first byte of that unit."""
        is_idr, is_reference = nal & 31 == 5, nal >> 5 & 3 != 0
        if is_idr or self.sequence < 0:
            self.sequence += 1
        by = self._by_lsb if sps.pic_order_cnt_type == 0 else self._by_frame_num
        order = by(sps, header, is_idr, is_reference)
        place = self.sequence, order
        self._was_reset = bool(header[head.HAS_RESET])
        if self._was_reset:
            self.sequence += 1
            self._high, self._low = 0, 0
            place = self.sequence, 0
        return place

    def _by_lsb(self, sps: Sps, header: Sequence[int], is_idr: bool, is_reference: bool) -> int:
        """Type 0 (8.2.1.1)."""
        period = 1 << sps.log2_max_pic_order_cnt_lsb
        if is_idr:
            self._high = self._low = 0
        low, high = header[head.ORDER_LSB], self._high
        if low < self._low and self._low - low >= period // 2:
            high += period
        elif low > self._low and low - self._low > period // 2:
            high -= period
        if is_reference:
            self._high, self._low = high, low
        return high + low + min(0, header[head.DELTA_ORDER_BOTTOM])

    def _by_frame_num(self, sps: Sps, header: Sequence[int], is_idr: bool, is_reference: bool) -> int:
        """Types 1 and 2 (8.2.1.2, 8.2.1.3)."""
        frame_num = header[head.FRAME_NUM]
        if is_idr or self._was_reset:
            self._frame_num_offset = 0
        elif self._frame_num > frame_num:
            self._frame_num_offset += 1 << sps.log2_max_frame_num
        self._frame_num = 0 if header[head.HAS_RESET] else frame_num
        number = self._frame_num_offset + frame_num
        if sps.pic_order_cnt_type == 2:
            return 0 if is_idr else 2 * number - (not is_reference)
        cycle = sps.offset_for_ref_frame
        number = number if cycle else 0
        if not is_reference and number > 0:
            number -= 1
        expected = 0
        if number > 0:
            rounds, within = divmod(number - 1, len(cycle))
            expected = rounds * sum(cycle) + sum(cycle[: within + 1])
        if not is_reference:
            expected += sps.offset_for_non_ref_pic
        return expected + header[head.DELTA_ORDER_0]

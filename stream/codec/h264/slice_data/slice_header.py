"""Slice headers (H.264 7.3.3), read by compiled code: a picture may have many.

In: the payload of a slice and the numbers of its parameter sets. Out: the numbers that slice data and picture order depend on.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import lean
from stream.codec.h264.parameter_sets import Pps, Sps
from stream.codec.h264.slice_data.bits import AT, FAILED, se, u, ue

(
    CHROMA_FORMAT,
    SEPARATE_PLANES,
    LOG2_FRAME_NUM,
    ORDER_TYPE,
    LOG2_ORDER_LSB,
    ORDER_ALWAYS_ZERO,
    FRAME_ONLY,
    DIRECT_8X8_INFERENCE,
    MB_WIDTH,
    MB_HEIGHT,
    CABAC,
    ORDER_PRESENT,
    ACTIVE_0,
    ACTIVE_1,
    WEIGHTED,
    BIPRED,
    INIT_QP,
    DEBLOCKING,
    REDUNDANT,
    TRANSFORM_8X8,
    ADAPTIVE_FIELD,
    NUM_SET,
) = range(22)
"""Places in the numbers of a pair of parameter sets."""

(
    FIRST_MB,
    SLICE_TYPE,
    PPS_ID,
    FRAME_NUM,
    FIELD,
    IDR_ID,
    ORDER_LSB,
    DELTA_ORDER_BOTTOM,
    DELTA_ORDER_0,
    DELTA_ORDER_1,
    REDUNDANT_COUNT,
    NUM_REF_0,
    NUM_REF_1,
    INIT_IDC,
    SLICE_QP,
    HAS_RESET,
    HEADER_BITS,
    NUM_HEADER,
) = range(18)
"""Places in the numbers of a slice header."""

P_SLICE, B_SLICE, I_SLICE, SP_SLICE, SI_SLICE = range(5)
"""slice_type modulo 5 (table 7-6)."""
_MOST_REFS = 32
_MOST_COMMANDS = 66
"""ref_pic_list_modification and memory_management_control_operation are loops until an end code; no valid one is longer."""


def set_numbers(sps: Sps, pps: Pps) -> np.ndarray:
    """What compiled code has to know of a pair of parameter sets, int64 [NUM_SET]."""
    numbers = np.zeros(NUM_SET, np.int64)
    numbers[:] = (
        sps.chroma_format_idc,
        sps.separate_colour_plane_flag,
        sps.log2_max_frame_num,
        sps.pic_order_cnt_type,
        sps.log2_max_pic_order_cnt_lsb,
        sps.delta_pic_order_always_zero_flag,
        sps.frame_mbs_only_flag,
        sps.direct_8x8_inference_flag,
        sps.pic_width_in_mbs,
        sps.frame_height_in_mbs,
        pps.entropy_coding_mode_flag,
        pps.bottom_field_pic_order_in_frame_present_flag,
        *pps.num_ref_idx_default_active,
        pps.weighted_pred_flag,
        pps.weighted_bipred_idc,
        pps.pic_init_qp,
        pps.deblocking_filter_control_present_flag,
        pps.redundant_pic_cnt_present_flag,
        pps.transform_8x8_mode_flag,
        sps.mb_adaptive_frame_field_flag,
    )
    return numbers


@lean
def read_start(data: np.ndarray, state: np.ndarray, header: np.ndarray) -> bool:
    """first_mb_in_slice, slice_type and pic_parameter_set_id, which come before the sets are known. False when they cannot be."""
    header[:] = 0
    header[FIRST_MB] = ue(data, state)
    slice_type = ue(data, state)
    header[SLICE_TYPE], header[PPS_ID] = slice_type % 5, ue(data, state)
    return not state[FAILED] and slice_type < 10 and header[PPS_ID] < 256


@lean
def read_rest(data: np.ndarray, state: np.ndarray, numbers: np.ndarray, nal: int, header: np.ndarray) -> bool:
    """The rest of the header; `nal` is the unit's first byte. False when it says what cannot be. Interlaced slices are read up to
    their field flag, since nothing more is done with them."""
    if numbers[SEPARATE_PLANES]:
        u(data, state, 2)  # colour_plane_id
    header[FRAME_NUM] = u(data, state, numbers[LOG2_FRAME_NUM])
    if not numbers[FRAME_ONLY]:
        header[FIELD] = u(data, state, 1)
        if header[FIELD]:
            return True
    is_idr, is_reference = nal & 31 == 5, nal >> 5 & 3 != 0
    if is_idr:
        header[IDR_ID] = ue(data, state)
    _read_order(data, state, numbers, header)
    if numbers[REDUNDANT]:
        header[REDUNDANT_COUNT] = ue(data, state)
    slice_type = header[SLICE_TYPE]
    if slice_type == B_SLICE:
        u(data, state, 1)  # direct_spatial_mv_pred_flag
    if not _read_references(data, state, numbers, slice_type, header):
        return False
    if is_reference:
        _skip_marking(data, state, is_idr, header)
    if numbers[CABAC] and slice_type != I_SLICE and slice_type != SI_SLICE:
        header[INIT_IDC] = ue(data, state)
    header[SLICE_QP] = numbers[INIT_QP] + se(data, state)
    if numbers[DEBLOCKING] and ue(data, state) != 1:
        se(data, state)  # slice_alpha_c0_offset_div2
        se(data, state)  # slice_beta_offset_div2
    header[HEADER_BITS] = state[AT]
    in_range = 0 <= header[SLICE_QP] <= 51 and header[INIT_IDC] <= 2 and header[REDUNDANT_COUNT] <= 127
    return not state[FAILED] and in_range and header[FIRST_MB] < numbers[MB_WIDTH] * numbers[MB_HEIGHT]


@lean
def _read_order(data: np.ndarray, state: np.ndarray, numbers: np.ndarray, header: np.ndarray) -> None:
    """Picture order count syntax."""
    if numbers[ORDER_TYPE] == 0:
        header[ORDER_LSB] = u(data, state, numbers[LOG2_ORDER_LSB])
        if numbers[ORDER_PRESENT]:
            header[DELTA_ORDER_BOTTOM] = se(data, state)
    elif numbers[ORDER_TYPE] == 1 and not numbers[ORDER_ALWAYS_ZERO]:
        header[DELTA_ORDER_0] = se(data, state)
        if numbers[ORDER_PRESENT]:
            header[DELTA_ORDER_1] = se(data, state)


@lean
def _read_references(data: np.ndarray, state: np.ndarray, numbers: np.ndarray, slice_type: int, header: np.ndarray) -> bool:
    """Sizes of the reference lists; their modification and the prediction weights are skipped."""
    if slice_type in (I_SLICE, SI_SLICE):
        return True
    header[NUM_REF_0] = numbers[ACTIVE_0]
    header[NUM_REF_1] = numbers[ACTIVE_1] if slice_type == B_SLICE else 0
    if u(data, state, 1):
        header[NUM_REF_0] = ue(data, state) + 1
        if slice_type == B_SLICE:
            header[NUM_REF_1] = ue(data, state) + 1
    if header[NUM_REF_0] > _MOST_REFS or header[NUM_REF_1] > _MOST_REFS:
        return False
    for _ in range(2 if slice_type == B_SLICE else 1):
        if u(data, state, 1):
            for _ in range(_MOST_COMMANDS):
                command = ue(data, state)
                if command == 3:
                    break
                if command > 3:
                    return False
                ue(data, state)
    is_p = slice_type in (P_SLICE, SP_SLICE)
    if (numbers[WEIGHTED] and is_p) or (numbers[BIPRED] == 1 and slice_type == B_SLICE):
        _skip_weights(data, state, numbers[CHROMA_FORMAT] != 0, header[NUM_REF_0], header[NUM_REF_1])
    return True


@lean
def _skip_weights(data: np.ndarray, state: np.ndarray, has_chroma: bool, num_0: int, num_1: int) -> None:
    """pred_weight_table (7.3.3.2)."""
    ue(data, state)
    if has_chroma:
        ue(data, state)
    for _ in range(num_0 + num_1):
        if u(data, state, 1):
            se(data, state)
            se(data, state)
        if has_chroma and u(data, state, 1):
            for _ in range(4):
                se(data, state)


@lean
def _skip_marking(data: np.ndarray, state: np.ndarray, is_idr: bool, header: np.ndarray) -> None:
    """dec_ref_pic_marking (7.3.3.3); remembers operation 5, which starts picture order anew."""
    if is_idr:
        u(data, state, 2)
        return
    if u(data, state, 1):
        for _ in range(_MOST_COMMANDS):
            operation = ue(data, state)
            if operation == 0:
                return
            if operation == 5:
                header[HAS_RESET] = 1
            if operation in (1, 2, 3, 4, 6):
                ue(data, state)
            if operation == 3:
                ue(data, state)

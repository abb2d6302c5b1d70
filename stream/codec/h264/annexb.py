"""NAL units of an H.264 access unit: found, read just enough, and put together again.

In: bytes as a container or a camera delivers them, Annex B (start codes) or AVCC (length prefixes). Out: NAL units as
`bytes` without start codes, and the few facts the stream side asks of them. Nothing here decodes a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

START_CODE = b"\x00\x00\x00\x01"
"""The four-byte start code (H.264 B.1.2) in front of every unit we write."""
TYPE_MASK = 31
"""Bits of the first byte of a unit that hold nal_unit_type (H.264 7.3.1)."""
SHORT_CODE = b"\x00\x00\x01"
_SLICE_HEAD_BYTES = 16
"""Bytes of a slice that hold first_mb_in_slice and slice_type, emulation prevention included."""
_INTRA_TYPES = (2, 4)
"""slice_type modulo 5 of I and SI (H.264 table 7-6)."""
_TYPES = "PBIPI"
"""By slice_type modulo 5: SP counts as P, SI as I."""
FIRST_UNITS = 512
"""Units of a packet among which its first slice is sought: sets (32 and 256, 7.4.2) and SEI stand in front."""
_SEI_RECOVERY_POINT = 6
"""payloadType of the recovery point message (H.264 D.1.1)."""
_MOST_SEI_MESSAGES, _MOST_SEI_NUMBER_BYTES = 64, 1024
"""Messages of a unit that are looked at, and bytes of a payloadType or payloadSize (each but the last stands for 255); more is an attack."""
_MOST_ZEROS = 32
"""Leading zero bits of the longest Exp-Golomb code (9.1: ue(v) goes up to 2^32 - 2)."""


class NalType:
    """nal_unit_type (H.264 table 7-1), those we tell apart."""

    SLICE: Final = 1
    PARTITION_A: Final = 2
    PARTITION_B: Final = 3
    PARTITION_C: Final = 4
    IDR: Final = 5
    SEI: Final = 6
    SPS: Final = 7
    PPS: Final = 8
    DELIMITER: Final = 9
    END_OF_SEQUENCE: Final = 10
    END_OF_STREAM: Final = 11
    FILLER: Final = 12
    PREFIX: Final = 14
    SUBSET_SPS: Final = 15
    EXTENSION: Final = 20


_SLICES = frozenset({int(NalType.SLICE), int(NalType.PARTITION_A), int(NalType.IDR)})


def nal_type(nal: bytes) -> int:
    """nal_unit_type of a unit (H.264 7.3.1); 0, which is unspecified, for an empty one."""
    return nal[0] & TYPE_MASK if nal else 0


def split_annexb(data: bytes, most: int | None = None) -> list[bytes]:
    """Units between start codes of either length, the first `most` of them; trailing zero bytes belong to the byte stream, not to the
    unit (B.1.1)."""
    nals: list[bytes] = []
    start = data.find(SHORT_CODE)
    while start >= 0 and len(nals) != most:
        start += len(SHORT_CODE)
        end = data.find(SHORT_CODE, start)
        nal = data[start : end if end >= 0 else len(data)].rstrip(b"\x00")
        if nal:
            nals.append(nal)
        start = end
    return nals


def split_avcc(data: bytes, length_bytes: int, most: int | None = None) -> list[bytes]:
    """Units behind big-endian length prefixes (ISO/IEC 14496-15 5.2.3), the first `most` of them. A length past the end yields what is
    there."""
    nals: list[bytes] = []
    at = 0
    while at + length_bytes <= len(data) and len(nals) != most:
        size = int.from_bytes(data[at : at + length_bytes], "big")
        at += length_bytes
        nal = data[at : at + size].rstrip(b"\x00")
        if nal:
            nals.append(nal)
        at += size
    return nals


def avcc_adds_up(data: bytes, length_bytes: int) -> bool:
    """True when length prefixes lead exactly to the end."""
    at = 0
    while at + length_bytes <= len(data):
        at += length_bytes + int.from_bytes(data[at : at + length_bytes], "big")
    return at == len(data)


def is_avcc_record(extradata: bytes) -> bool:
    """True when codec extradata is an AVCDecoderConfigurationRecord, so that packets carry length prefixes."""
    return len(extradata) >= 7 and extradata[0] == 1


def avcc_length_bytes(extradata: bytes) -> int:
    """lengthSizeMinusOne + 1 of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.2.4.1)."""
    return (extradata[4] & 3) + 1


def parameter_sets(extradata: bytes) -> list[bytes]:
    """Sequence and picture parameter sets held in extradata of either form; those that a damaged record cuts off are left out."""
    if not is_avcc_record(extradata):
        return [nal for nal in split_annexb(extradata) if nal_type(nal) in (NalType.SPS, NalType.PPS)]
    found: list[bytes] = []
    at = 5
    for mask in (31, 255):
        if at >= len(extradata):
            break
        count = extradata[at] & mask
        at += 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            nal = extradata[at + 2 : at + 2 + size]
            if len(nal) == size and nal_type(nal) in (NalType.SPS, NalType.PPS):
                found.append(nal)
            at += 2 + size
    return found


def join_annexb(nals: Iterable[bytes]) -> bytes:
    """One byte stream, every unit behind a four-byte start code."""
    return b"".join(START_CODE + nal for nal in nals)


def unescape(nal: bytes) -> bytes:
    """The raw byte sequence payload: emulation prevention bytes taken out (H.264 7.4.1)."""
    return nal.replace(b"\x00\x00\x03", b"\x00\x00")


def is_intra_slice(nal: bytes) -> bool:
    """True when slice_type says I or SI (H.264 table 7-6)."""
    if len(nal) > 1 and nal[1] & 0x80:
        return nal[1] & 0x7F in _FIRST_INTRA
    bits = BitReader(unescape(nal[1:_SLICE_HEAD_BYTES]))
    try:
        bits.ue()
        return bits.ue() % 5 in _INTRA_TYPES
    except EOFError:
        return False


def slice_type(nal: bytes) -> str:
    """P, B or I, by the slice header. Empty where it cannot be read."""
    if len(nal) > 1 and nal[1] & 0x80 and (known := _FIRST_TYPES[nal[1] & 0x7F]):
        return known
    bits = BitReader(unescape(nal[1:_SLICE_HEAD_BYTES]))
    try:
        bits.ue()
        return _TYPES[bits.ue() % len(_TYPES)]
    except EOFError:
        return ""


def picture_type(data: bytes) -> str:
    """P, B or I, by the first slice of a byte stream. Empty where there is none, or it cannot be read."""
    begin = len(START_CODE)
    is_plain = len(data) > begin + 1 and data.startswith(START_CODE) and data[begin] & TYPE_MASK in _SLICES
    if is_plain and data[begin + 1] & 0x80 and (known := _FIRST_TYPES[data[begin + 1] & 0x7F]):
        return known  # most packets of a camera
    return slice_type(first_slice(data))


def first_slice(data: bytes) -> bytes:
    """The beginning of the first slice among the first units of a byte stream, as much as `slice_type` looks at; empty without one."""
    at = data.find(SHORT_CODE)
    for _ in range(FIRST_UNITS):
        at += len(SHORT_CODE)
        if at < len(SHORT_CODE) or at >= len(data):
            break
        if data[at] & TYPE_MASK in _SLICES:
            end = data.find(SHORT_CODE, at, at + _SLICE_HEAD_BYTES)
            return data[at : end if end >= 0 else at + _SLICE_HEAD_BYTES]
        at = data.find(SHORT_CODE, at)
    return b""


def is_later_slice(nal: bytes) -> bool:
    """True when first_mb_in_slice is not 0: ue(v) of 0 is the single bit 1 (H.264 7.3.3, 9.1)."""
    return len(nal) > 1 and not nal[1] & 0x80


def has_recovery_point(sei: bytes) -> bool:
    """True when an SEI unit carries a recovery point: decoding may start here (H.264 D.2.8)."""
    return _SEI_RECOVERY_POINT in islice(_sei_types(unescape(sei[1:])), _MOST_SEI_MESSAGES)


def _sei_types(payload: bytes) -> Iterator[int]:
    """payloadType of each message of an SEI unit (H.264 7.3.2.3.1)."""
    at = 0
    while at + 2 <= len(payload) and payload[at] != 0x80:
        kind, at = _sei_number(payload, at)
        size, at = _sei_number(payload, at)
        yield kind
        at += size


def _sei_number(payload: bytes, at: int) -> tuple[int, int]:
    value, until = 0, min(len(payload), at + _MOST_SEI_NUMBER_BYTES)
    while at < until and payload[at] == 0xFF:
        value += 255
        at += 1
    return value + (payload[at] if at < len(payload) else 0), at + 1


class BitReader:
    """Fixed-length and Exp-Golomb codes of a payload without emulation prevention (H.264 7.2, 9.1).

    Raises `EOFError` past the end.
    """

    def __init__(self, payload: bytes) -> None:
        self._bits = int.from_bytes(payload, "big")
        self._left = 8 * len(payload)

    @property
    def num_left(self) -> int:
        """Bits that were not read yet."""
        return self._left

    def u(self, count: int) -> int:
        """`count` bits, most significant first."""
        if count > self._left:
            raise EOFError(f"expected {count} more bits, {self._left} left")
        self._left -= count
        return (self._bits >> self._left) & ((1 << count) - 1)

    def ue(self) -> int:
        """Unsigned Exp-Golomb code."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > _MOST_ZEROS:
                raise EOFError(f"expected an Exp-Golomb code of at most {_MOST_ZEROS} leading zeros, got more")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Signed Exp-Golomb code."""
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _first_intra() -> frozenset[int]:
    """Low seven bits of the byte behind the NAL header that say an intra slice, when the first bit says macroblock 0."""
    return frozenset(code for code in range(8, 128) if BitReader(bytes([code << 1])).ue() % 5 in _INTRA_TYPES)


_FIRST_INTRA = _first_intra()


def _first_types() -> tuple[str, ...]:
    """By the same seven bits: P, B or I; empty where the code goes on behind them."""
    return tuple(_TYPES[BitReader(bytes([code << 1])).ue() % len(_TYPES)] if code >= 8 else "" for code in range(128))


_FIRST_TYPES = _first_types()

"""One group as bytes: what a file of the memory is made of.

In: a group, its summary. Out: a record, and back. A record is a head with lengths and checksums, then what the index
needs (times, runs, summary), then the canvases and positions, which are read only when the group is recalled. Records of version 1, whose
heads have no checksum of their own, are read as well; one file may hold both.

Canvases are JPEG without chroma subsampling: at quality 90 a group of ov2-nano takes 16 kB of 121, and its vision tokens come
back within 1.5 % (docs/memory.md); blocks side by side come from different frames, so halved chroma would bleed from one into
the other.

Shape letters: N canvases, H and W pixels, P patches, K vectors of a summary, D their size.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ov2.canvas import CanvasGroup
from stream.errors import RecallError

SYNC = b"OV2"
"""Every record begins with it; the byte behind it is the version."""
_VERSION_1, _VERSION_2 = b"m", b"\x92"
"""No bit of one is that of the other: a flipped bit makes no record of the other version."""
_LENGTHS = struct.Struct("<4sIIIII")
"""Sync and version, bytes of the JSON, of the summary, of the body, CRC-32 of JSON and summary, CRC-32 of the body."""
_SUM = struct.Struct("<I")
"""CRC-32 of what stands before it in the head; not in version 1."""
HEAD_BYTES = _LENGTHS.size + _SUM.size
"""The longest head."""
LONGEST = 1 << 28
"""A head that tells of more bytes than this is damaged."""


class Head(NamedTuple):
    """What a record says of itself: bytes of its parts, and their checksums."""

    head_bytes: int
    text_bytes: int
    summary_bytes: int
    body_bytes: int
    note_sum: int
    body_sum: int

    @property
    def num_bytes(self) -> int:
        return self.head_bytes + self.text_bytes + self.summary_bytes + self.body_bytes

    @property
    def body_at(self) -> int:
        return self.num_bytes - self.body_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What the index keeps of a group: UTC epoch seconds of its beginning and end, its tokens, its summary (int8 [K, D] and what to
    multiply it by; None where the model never saw the group)."""

    start: float
    end: float
    num_tokens: int
    summary_KD: np.ndarray | None
    scale: float


def pack(group: CanvasGroup, *, num_tokens: int, summary_KD: np.ndarray | None, scale: float, quality: int) -> bytes:
    """A record."""
    positions = zlib.compress(np.ascontiguousarray(group.positions.T).tobytes(), 6)
    about = {
        "group_id": group.group_id,
        "start_s": group.start_s,
        "end_s": group.end_s,
        "wall_s": group.wall_s,
        "closed_by": group.closed_by,
        "cost": group.cost,
        "active": group.is_active,
        "runs": [list(run) for run in group.runs],
        "shape": list(group.canvases.shape),
        "positions": len(positions),
        "num_tokens": num_tokens,
        "summary": list(summary_KD.shape) if summary_KD is not None else [],
        "scale": scale,
    }
    text = json.dumps(about, separators=(",", ":")).encode()
    summary = summary_KD.tobytes() if summary_KD is not None else b""
    body = positions + _picture(group.canvases, quality)
    crc = zlib.crc32(summary, zlib.crc32(text))
    lengths = _LENGTHS.pack(SYNC + _VERSION_2, len(text), len(summary), len(body), crc, zlib.crc32(body))
    return lengths + _SUM.pack(zlib.crc32(lengths)) + text + summary + body


def read_head(data: bytes) -> Head | None:
    """The head that `data` begins with; None where none is, or a damaged one."""
    if len(data) < _LENGTHS.size:
        return None
    magic, *numbers = _LENGTHS.unpack_from(data)
    if magic == SYNC + _VERSION_1:
        return Head(_LENGTHS.size, *numbers) if max(numbers[:3]) <= LONGEST else None
    if magic != SYNC + _VERSION_2 or len(data) < HEAD_BYTES:
        return None
    whole = zlib.crc32(data[: _LENGTHS.size]) == _SUM.unpack_from(data, _LENGTHS.size)[0]
    return Head(HEAD_BYTES, *numbers) if whole else None


def read_note(head: Head, data: bytes) -> Note | None:
    """What the index needs, of the JSON and the summary; None when they are damaged."""
    if len(data) < head.text_bytes + head.summary_bytes or zlib.crc32(data) != head.note_sum:
        return None
    about = json.loads(data[: head.text_bytes])
    seconds = about["end_s"] - about["start_s"]
    summary = data[head.text_bytes :]
    return Note(
        start=about["wall_s"] - seconds,
        end=about["wall_s"],
        num_tokens=about["num_tokens"],
        summary_KD=np.frombuffer(summary, np.int8).reshape(about["summary"]) if about["summary"] else None,
        scale=about["scale"],
    )


def unpack(record: bytes) -> CanvasGroup:
    """The group. Raises `RecallError` when the record is damaged."""
    head = read_head(record)
    if head is None:
        raise RecallError("memory: expected a record, got other bytes")
    note, body = record[head.head_bytes : head.body_at], record[head.body_at : head.num_bytes]
    if zlib.crc32(note) != head.note_sum or zlib.crc32(body) != head.body_sum:
        raise RecallError("memory: expected a whole record, got one whose checksum is wrong")
    about: dict[str, Any] = json.loads(note[: head.text_bytes])
    positions_3P = np.frombuffer(zlib.decompress(body[: about["positions"]]), np.int32).reshape(3, -1)
    return CanvasGroup(
        canvases=_canvases(body[about["positions"] :], about["shape"]),
        positions=np.ascontiguousarray(positions_3P.T),
        runs=tuple((float(seconds), int(blocks)) for seconds, blocks in about["runs"]),
        group_id=about["group_id"],
        start_s=about["start_s"],
        end_s=about["end_s"],
        wall_s=about["wall_s"],
        closed_by=about["closed_by"],
        cost=about["cost"],
        is_active=about.get("active", True),
    )


def _picture(canvases_NHWC: np.ndarray, quality: int) -> bytes:
    """All canvases, one below the other."""
    from PIL import Image

    _, _, width, _ = canvases_NHWC.shape
    buffer = io.BytesIO()
    Image.fromarray(canvases_NHWC.reshape(-1, width, 3)).save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _canvases(picture: bytes, shape: list[int]) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        return np.array(image.convert("RGB")).reshape(shape)

"""One group as bytes: what a file of the memory is made of.

In: a group, its summary. Out: a record, and back. A record is a head with lengths and two checksums, then what the index
needs (times, runs, summary), then the canvases and positions, which are read only when the group is recalled.

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
from typing import Any

import numpy as np

from ov2.canvas import CanvasGroup
from stream.errors import RecallError

HEAD = struct.Struct("<4sIIIII")
"""Magic, bytes of the JSON, of the summary, of the body, CRC-32 of JSON and summary, CRC-32 of the body."""
MAGIC = b"OV2m"
LONGEST = 1 << 28
"""A head that tells of more bytes than this is damaged."""


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
    return HEAD.pack(MAGIC, len(text), len(summary), len(body), crc, zlib.crc32(body)) + text + summary + body


def read_head(head: bytes) -> tuple[int, int, int, int, int] | None:
    """Lengths and checksums; None where no head is."""
    if len(head) < HEAD.size:
        return None
    magic, *numbers = HEAD.unpack(head)
    if magic != MAGIC or max(numbers[:3]) > LONGEST:
        return None
    text, summary, body, crc, body_crc = numbers
    return text, summary, body, crc, body_crc


def read_note(text: bytes, summary: bytes, crc: int) -> Note | None:
    """What the index needs; None when it is damaged."""
    if zlib.crc32(summary, zlib.crc32(text)) != crc:
        return None
    about = json.loads(text)
    seconds = about["end_s"] - about["start_s"]
    summary_KD = np.frombuffer(summary, np.int8).reshape(about["summary"]) if about["summary"] else None
    return Note(
        start=about["wall_s"] - seconds,
        end=about["wall_s"],
        num_tokens=about["num_tokens"],
        summary_KD=summary_KD,
        scale=about["scale"],
    )


def unpack(record: bytes) -> CanvasGroup:
    """The group. Raises `RecallError` when the record is damaged."""
    lengths = read_head(record[: HEAD.size])
    if lengths is None:
        raise RecallError("memory: expected a record, got other bytes")
    text_bytes, summary_bytes, body_bytes, crc, body_crc = lengths
    text = record[HEAD.size : HEAD.size + text_bytes]
    summary = record[HEAD.size + text_bytes :][:summary_bytes]
    body = record[HEAD.size + text_bytes + summary_bytes :][:body_bytes]
    if zlib.crc32(summary, zlib.crc32(text)) != crc or zlib.crc32(body) != body_crc:
        raise RecallError("memory: expected a whole record, got one whose checksum is wrong")
    about: dict[str, Any] = json.loads(text)
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

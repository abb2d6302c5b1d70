"""How one camera is, as it is told to clients."""

from __future__ import annotations

from pydantic import BaseModel

from stream.camera.timeline import GroupMark


class CameraStatus(BaseModel):
    """One camera, now. `frame_age_ms` is null before the first frame. `limits`: what of its settings cannot be kept, why, and what to set.
    `decoded_share`: pictures decoded of all that came, null before the first."""

    name: str
    state: str
    reason: str
    groups: int
    frames: int
    frame_age_ms: float | None
    reconnects: int
    drops: dict[str, int]
    decoded_share: float | None
    limits: list[str]


class CameraTimeline(BaseModel):
    """The last minutes of a camera. `bins`: (media seconds of its beginning, bytes) per half second, keyframes left out.
    `media_s` and `wall_s` belong to the newest packet; None before the first. `token_rate`: the tokenizer's setting."""

    media_s: float | None
    wall_s: float | None
    frame_age_ms: float | None
    num_groups: int
    tokens_per_s: float
    token_rate: float
    bins: list[tuple[float, int]]
    groups: list[GroupMark]

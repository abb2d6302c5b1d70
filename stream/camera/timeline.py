"""The last minutes of a camera, to look at: what it spent, where groups were cut, what the model was shown last.

In: packets and closed groups, from the camera's thread. Out: a `Timeline` for the API, and the latest canvases as a PNG.
"""

from __future__ import annotations

import io
from collections import deque
from dataclasses import dataclass

import numpy as np

from ov2.canvas import CanvasGroup
from stream.tokenizer.budget import num_llm_tokens
from stream.units import Packet

BIN_S = 0.5
KEPT_BINS = 240
KEPT_GROUPS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMark:
    """A closed group in one line: media seconds, why it was cut, whether something was active, what it holds."""

    start_s: float
    end_s: float
    closed_by: str
    active: bool
    canvases: int
    llm_tokens: int


class History:
    """What is kept of one camera. Bounded; written by the camera's thread, read by any."""

    def __init__(self) -> None:
        self.media_s: float | None = None
        self.wall_s: float | None = None
        self.groups: deque[GroupMark] = deque(maxlen=KEPT_GROUPS)
        self._bins: deque[tuple[int, int]] = deque(maxlen=KEPT_BINS)
        self._canvases: np.ndarray | None = None

    def see_packet(self, packet: Packet) -> None:
        """Count the packet's bytes; keyframes are left out, as in the cost of groups."""
        if self.media_s is None or packet.pts_s >= self.media_s:
            self.media_s, self.wall_s = packet.pts_s, packet.wall_s
        index = int(packet.pts_s // BIN_S)
        spent = 0 if packet.is_key else packet.size_bytes
        if self._bins and self._bins[-1][0] >= index:
            self._bins[-1] = (self._bins[-1][0], self._bins[-1][1] + spent)
        else:
            self._bins.append((index, spent))

    def see_group(self, group: CanvasGroup) -> None:
        """Remember a closed group, and its canvases in place of the last ones."""
        self.groups.append(
            GroupMark(
                start_s=group.start_s,
                end_s=group.end_s,
                closed_by=group.closed_by,
                active=group.is_active,
                canvases=group.num_canvases,
                llm_tokens=num_llm_tokens(group),
            )
        )
        self._canvases = group.canvases

    def bins(self) -> list[tuple[float, int]]:
        """(media seconds of its beginning, bytes) of each finished bin, oldest first."""
        return [(index * BIN_S, spent) for index, spent in list(self._bins)[:-1]]

    def png(self) -> bytes | None:
        """The latest group's canvases side by side; None before the first group."""
        canvases = self._canvases
        if canvases is None:
            return None
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(np.concatenate(list(canvases), axis=1)).save(buffer, format="PNG")
        return buffer.getvalue()

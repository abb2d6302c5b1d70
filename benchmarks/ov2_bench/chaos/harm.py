"""What a relay does to what passes through it, now.

In: orders from a schedule or a test. Out: one `Harm`, read by the TCP and the UDP side of a relay for every packet.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable


class Harm:
    """Nothing is wrong at first. `dropped` counts media packets that were left out, `passed` those that were not.

    - `bytes_per_s`: the most that goes to the service per second; None: as much as comes.
    - `clock_s`: how far the camera's clock is ahead of what the peer sends.
    - `loss`: share of RTP packets that never come, drawn by `seed`.
    - `refusing`: whoever connects is thrown out.
    """

    def __init__(self, seed: int, monotonic: Callable[[], float]) -> None:
        self.bytes_per_s: float | None = None
        self.clock_s = 0
        self.loss = 0.0
        self.refusing = False
        self.dropped = 0
        self.passed = 0
        self._dice = random.Random(seed)
        self._monotonic = monotonic
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._allowed_at_s = 0.0

    @property
    def stalled(self) -> bool:
        return not self._flowing.is_set()

    def stall(self) -> None:
        """Nothing moves, in either direction, until `flow`."""
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    async def open(self) -> None:
        """Returns when nothing is stalled."""
        await self._flowing.wait()

    async def pace(self, num_bytes: int) -> None:
        """Take the time that so many bytes need."""
        if self.bytes_per_s is not None:
            await asyncio.sleep(num_bytes / self.bytes_per_s)

    def fits(self, num_bytes: int) -> bool:
        """For packets that nobody waits for: whether this one still fits through."""
        if self.bytes_per_s is None:
            return True
        now_s = self._monotonic()
        if now_s < self._allowed_at_s:
            return False
        self._allowed_at_s = now_s + num_bytes / self.bytes_per_s
        return True

    def loses(self) -> bool:
        """Whether the next RTP packet is lost."""
        lost = self.loss > 0 and self._dice.random() < self.loss
        self.dropped += lost
        self.passed += not lost
        return lost

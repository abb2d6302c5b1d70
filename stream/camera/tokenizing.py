"""One camera's tokenizer and boundary detector, side by side: what has to be done with every packet, but for telling of it.

In: packets, with how much longer groups should get. Out: `Tokenized`: groups that are certain, and changes of boundary events. It runs in a
worker process (`worker.py`), or where it is made, a back-test say.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np

from ov2.canvas import CanvasGroup
from stream.codec.codec import CATCH_UP_S
from stream.codec.h264.parameter_sets import LARGEST_PICTURE_PX
from stream.events.boundary import BoundaryDetector
from stream.events.boundary_settings import BoundarySettings
from stream.events.event import Change
from stream.tokenizer.inputs import new_tokenizer
from stream.tokenizer.settings import TokenizerSettings
from stream.units import Packet

Widened = tuple[Packet, float]
"""A packet, and the factor given to `Tokenizer.widen` before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFigures:
    """Counts since the camera began. `decoded_share`: pictures decoded of all that came, None before the first; `limits`: what of the
    settings cannot be kept, and why."""

    num_groups: int = 0
    num_tokens: int = 0
    media_s: float = 0.0
    dropped: Counter[str] = field(default_factory=Counter)
    decoded_share: float | None = None
    limits: tuple[str, ...] = ()

    @property
    def tokens_per_s(self) -> float:
        """Mean LLM tokens per second of media time."""
        return self.num_tokens / self.media_s if self.media_s else 0.0

    def is_news(self, before: TokenizerFigures) -> bool:
        """Something else has changed than how much is decoded, which always does."""
        now, then = ((each.num_groups, each.dropped, each.limits, each.decoded_share is None) for each in (self, before))
        return now != then

    def after(self, before: TokenizerFigures) -> TokenizerFigures:
        """Those of a tokenizer that has taken over from one with the figures `before`."""
        return replace(
            self,
            num_groups=before.num_groups + self.num_groups,
            num_tokens=before.num_tokens + self.num_tokens,
            media_s=before.media_s + self.media_s,
            dropped=before.dropped + self.dropped,
        )


class SkippedPacket(NamedTuple):
    """A packet that met an error of ours: the error's name, and where it was raised."""

    kind: str
    traceback: str


class Tokenized(NamedTuple):
    """What became of some packets. `skipped`: those that met an error of ours."""

    groups: list[CanvasGroup]
    changes: list[Change]
    skipped: Sequence[SkippedPacket] = ()


class CameraTokenizer(Protocol):
    """For one thread at a time; `figures` may be read from any. `batch_packets`: as many are worth pushing at once."""

    batch_packets: int

    @property
    def settings(self) -> TokenizerSettings: ...

    @property
    def figures(self) -> TokenizerFigures: ...

    def began_anew(self) -> bool:
        """Asked before each `push`: True where another tokenizer has taken over since."""

    def push(self, packets: Sequence[Widened]) -> Tokenized: ...

    def flush(self) -> Tokenized:
        """The stream has ended: close the open group."""

    def calm(self) -> Tokenized:
        """Nothing comes any more: what was happening has ended."""

    def peek(self) -> CanvasGroup | None: ...

    def newest_picture(self, longest_side: int) -> np.ndarray | None: ...

    def end(self) -> None:
        """From any thread: no call waits any longer."""

    def close(self) -> None:
        """After `end`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizingSettings:
    """Of one camera. `boundary`: None for no alerts; the others as in `Tokenizer`."""

    name: str
    tokenizer: TokenizerSettings = field(default_factory=TokenizerSettings)
    boundary: BoundarySettings | None = field(default_factory=BoundarySettings)
    max_picture_px: int = LARGEST_PICTURE_PX
    catch_up_s: float = CATCH_UP_S


class LocalTokenizer:
    """A `CameraTokenizer` in this process."""

    batch_packets = 1

    def __init__(self, settings: TokenizingSettings, *, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings.tokenizer
        boundary = settings.boundary
        self._boundary = BoundaryDetector(settings.name, boundary, clock=clock) if boundary is not None else None
        self._tokenizer = new_tokenizer(
            settings.tokenizer, name=settings.name, max_picture_px=settings.max_picture_px, catch_up_s=settings.catch_up_s
        )

    @property
    def figures(self) -> TokenizerFigures:
        stats, plan, why = self._tokenizer.stats, self._tokenizer.plan, self._tokenizer.why_decoded
        limits = [str(limit) for limit in plan.limits] if plan is not None else []
        return TokenizerFigures(
            num_groups=stats.num_groups,
            num_tokens=stats.num_tokens,
            media_s=stats.media_s,
            dropped=stats.dropped,
            decoded_share=self._tokenizer.decoded_share,
            limits=(*limits, *([f"every picture is decoded: {why}"] if why else [])),
        )

    def began_anew(self) -> bool:
        return False

    def push(self, packets: Sequence[Widened]) -> Tokenized:
        """Alerts first: what they read of a packet, the tokenizer does not read again."""
        done = Tokenized([], [])
        for packet, widen in packets:
            self._tokenizer.widen(widen)
            if self._boundary is not None:
                slices = self._tokenizer.slices(packet)
                done.changes.extend(self._boundary.push(packet, slices.mean_qp(), slices.effort()))
            done.groups.extend(self._tokenizer.push(packet))
        return done

    def flush(self) -> Tokenized:
        return Tokenized(self._tokenizer.flush(), [])

    def calm(self) -> Tokenized:
        return Tokenized([], self._boundary.reset() if self._boundary is not None else [])

    def peek(self) -> CanvasGroup | None:
        return self._tokenizer.peek()

    def newest_picture(self, longest_side: int) -> np.ndarray | None:
        return self._tokenizer.newest_picture(longest_side)

    def end(self) -> None:
        """No call waits for anybody else."""

    def close(self) -> None:
        """Nothing is held beyond its memory."""


def warm_up() -> None:
    """Compile (or load from the cache) what runs per packet, so that the first is as quick as the next."""
    from stream.codec import effort, evidence, places
    from stream.codec.h264.slice_data import parser
    from stream.tokenizer import saliency

    for part in (effort, evidence, places, parser, saliency):
        part.warm_up()

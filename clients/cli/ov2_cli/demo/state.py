"""What the demo knows so far: the one record that the tasks write, the screen shows and the report is made of.

In: answers, alerts, figures as they come. Out: `Report`, the JSON of `demo-report.json`.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """One question of the demo, as it was answered. `first_token_ms` as the service measured it."""

    at_s: float
    type: str
    question: str
    expected: str
    answer: str
    correct: bool
    first_token_ms: float | None
    frame_age_ms: float | None


@dataclass(slots=True)
class State:
    """Everything the demo shows. `began_s`: monotonic time of the stream's first picture (before it, of the demo's start)."""

    seed: int
    seconds: int
    began_s: float = field(default_factory=time.monotonic)
    media_s: float = 0.0
    phase: str = "starting"
    asking: str = ""
    questions: list[AskedQuestion] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    bins: list[tuple[float, float]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    num_groups: int = 0
    tokens_per_s: float = 0.0
    token_rate: float | None = None
    frame_age_ms: float | None = None
    picture: str = ""
    errors: list[str] = field(default_factory=list)

    @property
    def num_correct(self) -> int:
        return sum(question.correct for question in self.questions)

    def report(self) -> dict[str, Any]:
        """The report that `demo-report.json` holds."""
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "groups": self.num_groups,
            "mean_tokens_per_s": round(self.tokens_per_s, 2),
            "questions": [asdict(question) for question in self.questions],
            "alerts": self.alerts,
            "errors": self.errors,
        }

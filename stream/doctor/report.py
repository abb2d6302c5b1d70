"""The whole visit: a source is watched, examined, and judged.

In: a URL. Out: `Report`, and its JSON object (docs/doctor.md describes every key).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from stream.doctor import advice_on_delivery, advice_on_stream
from stream.doctor.advice import Advice, in_order, is_usable
from stream.doctor.connection_check import describe
from stream.doctor.examine import examine
from stream.doctor.facts import Facts, facts_of
from stream.doctor.observe import Tell, observe
from stream.tokenizer.settings import TokenizerSettings

_DIGITS = 4
"""Of a number in the JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`facts`, and `advice` with the worst first."""

    facts: Facts
    advice: tuple[Advice, ...]

    @property
    def usable(self) -> bool:
        return is_usable(list(self.advice))

    def as_json(self) -> dict[str, Any]:
        facts = asdict(self.facts)
        return {"usable": self.usable, **rounded(facts), "advice": [asdict(each) for each in self.advice]}


def advice_of(facts: Facts) -> list[Advice]:
    """Of all rules, the worst first."""
    rules = (*advice_on_delivery.RULES, *advice_on_stream.RULES)
    return in_order([advice for rule in rules if (advice := rule(facts)) is not None])


def visit(
    url: str,
    *,
    seconds: float | None = None,
    timeout_s: float = 10.0,
    settings: TokenizerSettings | None = None,
    tell: Tell = lambda what, share: None,
) -> Report:
    """Watch a source and judge it. Raises `SourceError` and `CodecError` when it cannot be opened."""
    watch = observe(url, seconds=seconds, timeout_s=timeout_s, tell=tell)
    seen = examine(watch.packets, settings, tell=tell)
    description = describe(url, timeout_s) if watch.kind == "pull" else None
    facts = facts_of(watch, seen, description.fps if description is not None else None)
    return Report(facts=facts, advice=tuple(advice_of(facts)))


def rounded(value: Any) -> Any:
    """Numbers to four digits behind the point; what is not a number becomes null, which JSON knows."""
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return value

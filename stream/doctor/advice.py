"""What to change on the camera, and why.

In: `Facts`. Out: `Advice`, the worst first. The rules are in `advice_on_delivery` and `advice_on_stream`: one small function per problem.
Codes are stable: scripts may rely on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["ok", "note", "warn", "bad"]
GOOD_GOP_S = 2.0
"""Distance of key frames to ask for: short enough for reconnects, long enough to leave bits to the other pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """`measured`: what was seen and what it means; `setting`: what mends it, in the words of a camera's menu; empty where nothing
    has to be done."""

    code: str
    severity: Severity
    measured: str
    setting: str = ""


def in_order(found: list[Advice]) -> list[Advice]:
    """Bad ones first; `all_well` alone where nothing is to be said."""
    order = get_args(Severity)
    found = sorted(found, key=lambda advice: -order.index(advice.severity))
    return found or [
        Advice(code="all_well", severity="ok", measured="nothing to mend: this stream gives all that there is to give")
    ]


def is_usable(advice: list[Advice]) -> bool:
    return all(each.severity != "bad" for each in advice)

"""What was tried, and what did not hold.

In: cases as they are judged. Out: counts for each attack, and the words of the first failures of each.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

KEPT = 40
"""Kinds of failures told of one attack, each with its number; the rest are counted alone."""
LONGEST = 600


@dataclass(slots=True)
class Record:
    """Of one attack. `failures`: words, and how often; `strikes`: how often it was begun; `skipped`: why it was not, empty where it was."""

    tried: int = 0
    failed: int = 0
    strikes: int = 0
    spent_s: float = 0.0
    skipped: str = ""
    failures: Counter[str] = field(default_factory=Counter)


class Ledger:
    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    def of(self, attack: str) -> Record:
        return self.records.setdefault(attack, Record())

    def count(self, attack: str, problem: str) -> None:
        """One case: `problem` says what did not hold, empty where all did."""
        record = self.of(attack)
        record.tried += 1
        if problem:
            record.failed += 1
            told = problem[:LONGEST]
            if told in record.failures or len(record.failures) < KEPT:
                record.failures[told] += 1

    @property
    def tried(self) -> int:
        return sum(record.tried for record in self.records.values())

    @property
    def failed(self) -> int:
        return sum(record.failed for record in self.records.values())

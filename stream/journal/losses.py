"""What was lost, summed up until somebody can be told.

In: entries, one by one. Out: the body of the `dropped` entry that announces them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream.journal.entry import Entry


class Losses:
    """`where`: the sink that will never get them, or `journal`. `why`: the bound that was reached. An announcement that is lost in
    its turn is no loss of its own: what it told of is counted on. `number`: entries lost; `num_entries`: entries taken."""

    def __init__(self, where: str, why: str) -> None:
        self.number = 0
        self.num_entries = 0
        self._where, self._why = where, why
        self._since_s = self._until_s = 0.0
        self._cameras: set[str] = set()

    def add(self, entry: Entry) -> None:
        one = {"number": 1, "since": entry.time_s, "until": entry.time_s, "cameras": [entry.camera] if entry.camera else []}
        told: Mapping[str, Any] = entry.body if entry.kind == "dropped" and _is_announcement(entry.body) else one
        if not self.num_entries:
            self._since_s = told["since"]
        self.num_entries += 1
        self.number += told["number"]
        self._since_s = min(self._since_s, told["since"])
        self._until_s = max(self._until_s, told["until"])
        self._cameras |= set(told["cameras"])

    def body(self) -> dict[str, Any]:
        """Times are UTC epoch seconds of the journal."""
        return {
            "where": self._where,
            "number": self.number,
            "since": self._since_s,
            "until": self._until_s,
            "cameras": sorted(self._cameras),
            "why": self._why,
        }


def _is_announcement(body: Mapping[str, Any]) -> bool:
    numbers = [body.get(name) for name in ("number", "since", "until")]
    cameras = body.get("cameras")
    return (
        all(isinstance(number, int | float) for number in numbers)
        and isinstance(cameras, list)
        and all(isinstance(camera, str) for camera in cameras)
    )

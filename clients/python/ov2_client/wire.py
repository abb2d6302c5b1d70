"""What the service sends, as this client knows it. Unknown keys are ignored, so a newer service stays readable.

In: parsed JSON. Out: frozen dataclasses; `ProtocolError` when a key is missing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ov2_client.errors import ProtocolError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraStatus:
    """One camera, now. `frame_age_ms` is None before the first frame. `limits`: what of its settings cannot be kept, why, and what to set.
    `decoded_share`: pictures decoded of all that came, None before the first."""

    name: str
    state: str
    reason: str
    groups: int
    frames: int
    frame_age_ms: float | None
    reconnects: int
    drops: dict[str, int]
    decoded_share: float | None = None
    limits: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The last minutes of a camera. `bins`: (stream seconds of its beginning, bytes) per half second, keyframes left out.
    `groups`: start_s, end_s, closed_by, active, canvases, llm_tokens of each. `media_s` and `wall_s` belong to the newest packet.
    `token_rate`: that of the tokenizer's settings; None from a service that does not tell."""

    media_s: float | None
    wall_s: float | None
    frame_age_ms: float | None
    num_groups: int
    tokens_per_s: float
    bins: tuple[tuple[float, int], ...]
    groups: tuple[dict[str, Any], ...]
    token_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchStatus:
    """One watch, now. `state`: on or off; `probability` that it holds; `event`: id of the event under way; `problem`: why it cannot be
    judged; `settings`: sentence, threshold, release, confirm, schedule, zone, and so on."""

    camera: str
    name: str
    state: str
    probability: float | None
    event: str | None
    problem: str | None
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """UTC epoch seconds that an answer rests on, and how many distinct frames of them were looked at."""

    start: float
    end: float
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The same in the stream's own seconds. `zero_s` is where the times that an answer speaks of begin."""

    start_s: float
    end_s: float
    zero_s: float
    num_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Milliseconds since the question arrived at the service."""

    queue_ms: float
    catch_up_ms: float
    first_token_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Where an answer looked beside the window: UTC epoch seconds that were looked through, and why."""

    since: float
    until: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A piece of the answer, as it is written."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The whole answer and what it rests on. `time_zero_s` is the wall time of second 0 in the answer's words;
    `finish_reason` is `stop`, `length` when max_tokens cut it short, or `not_seen`; `recall` is None when the answer looked at the window
    alone."""

    id: str
    camera: str
    question: str
    answer: str
    finish_reason: str
    num_tokens: int
    evidence: tuple[Evidence, ...]
    frame_age_ms: float
    time_zero_s: float
    window: Window
    timings: Timings
    recall: Recall | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One entry of the journal. `position` orders and names it; `time`: UTC epoch seconds; `kind`: boundary, watch, question, answer
    or dropped; `id`: of the event, question or answer; `body`: what is told of it."""

    position: int
    time: float
    kind: str
    camera: str
    id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPage:
    """Entries in the order that was asked for. `next`: the `after` of the page behind, None on the last one."""

    entries: tuple[JournalEntry, ...]
    next: int | None


def read_page(data: Any) -> JournalPage:
    flat = read(JournalPage, data)
    return JournalPage(entries=tuple(read(JournalEntry, entry) for entry in flat.entries), next=flat.next)


def read(cls: type[T], data: Any) -> T:
    """One of the classes above from parsed JSON."""
    if not isinstance(data, dict):
        raise ProtocolError(f"{cls.__name__}: expected a JSON object, got {type(data).__name__}")
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    names = [field.name for field in fields if field.default is dataclasses.MISSING]
    missing = [name for name in names if name not in data]
    if missing:
        raise ProtocolError(f"{cls.__name__}: expected keys {', '.join(names)}, got none of {', '.join(missing)}")
    return cls(**{field.name: data[field.name] for field in fields if field.name in data})


def read_list(cls: type[T], data: Any, name: str) -> list[T]:
    if not isinstance(data, list):
        raise ProtocolError(f"{name}: expected a JSON list, got {type(data).__name__}")
    return [read(cls, item) for item in data]


def read_answer(data: Any) -> Answer:
    """An `Answer` with its parts."""
    flat = read(Answer, data)
    return dataclasses.replace(
        flat,
        evidence=tuple(read(Evidence, span) for span in flat.evidence),
        window=read(Window, flat.window),
        timings=read(Timings, flat.timings),
        recall=read(Recall, flat.recall) if flat.recall is not None else None,
    )


class EventReader:
    """Server-sent events out of lines (HTML standard, 9.2.6): `feed(line)` returns (event, data) when a blank line ends one."""

    def __init__(self) -> None:
        self._event = "message"
        self._data: list[str] = []

    def feed(self, line: str) -> tuple[str, Any] | None:
        line = line.rstrip("\r\n")
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._event = value
            elif name == "data":
                self._data.append(value)
            return None
        event, data = self._event, "\n".join(self._data)
        self._event, self._data = "message", []
        if not data:
            return None
        try:
            return event, json.loads(data)
        except ValueError:
            raise ProtocolError(f"event {event}: expected JSON, got {len(data)} characters of something else") from None

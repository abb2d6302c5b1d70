"""What travels over HTTP: requests and answers, as JSON.

In: the service's own types. Out: pydantic classes, so that the API describes itself. The client SDK has its own copies.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from ov2.sampling import MOST_SEED, MOST_TEMPERATURE, MOST_TOKENS, Sampling
from stream.journal import Entry
from stream.memory.plan import Mode
from stream.quantities import Real, Whole
from stream.watch.settings import WatchSettings

LONGEST_QUESTION = 2000
"""Characters."""
Moment = Annotated[str, StringConstraints(max_length=64)]
"""A time in words."""


class AskRequest(BaseModel):
    """A question to a camera. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(max_length=LONGEST_QUESTION)
    max_tokens: Whole = Field(default=64, ge=1, le=MOST_TOKENS)
    temperature: Real = Field(default=0.0, ge=0, le=MOST_TEMPERATURE)
    top_p: Real = Field(default=1.0, gt=0, le=1)
    seed: Whole | None = Field(default=None, ge=0, le=MOST_SEED)
    since: Moment | Real | None = Field(
        default=None, description="look no further back: epoch seconds, an ISO time, or as far back as -10m"
    )
    until: Moment | Real | None = Field(default=None, description="look at nothing later, given like since")
    recall: Mode = Field(
        default="auto", description="auto: look back where the question asks for it; window: never; memory: whatever it names"
    )
    stream: bool | None = Field(
        default=None, description="false: one JSON answer; default: server-sent events unless Accept says JSON"
    )

    @field_validator("question")
    @classmethod
    def _is_text(cls, question: str) -> str:
        if "\0" in question:
            raise ValueError("expected text, got the character U+0000 in it")
        return question

    def sampling(self) -> Sampling:
        return Sampling(max_tokens=self.max_tokens, temperature=self.temperature, top_p=self.top_p, seed=self.seed)


class WatchStatus(BaseModel):
    """One watch, now. `state`: on or off; `probability` that it holds, null before the first judgement; `event`: id of the event
    under way; `problem`: why it cannot be judged."""

    camera: str
    name: str
    state: str
    probability: float | None
    event: str | None
    problem: str | None
    settings: WatchSettings


class BrokerStatus(BaseModel):
    """Where events go. `port` is null where it is not told: of the embedded broker, to clients without a token. `problem`: why the embedded
    broker does not serve, else empty; `refused`: its clients and messages by why they were refused."""

    host: str
    port: int | None
    prefix: str
    embedded: bool
    connected: bool
    dropped: int
    problem: str
    refused: dict[str, int]


class OutboxStatus(BaseModel):
    """What one sink has got. `repeated`: of these, may have come before."""

    delivered: int
    repeated: int
    dropped: int


class JournalStatus(BaseModel):
    """What is written before it is told. `degraded`: why it cannot be written now (`pending` entries then wait in memory), or what of it is
    damaged; else empty. `dropped`: entries that memory could not hold. `set_aside`: damaged files that are kept beside it until somebody
    removes them."""

    address: str
    degraded: str
    written: int
    pending: int
    dropped: int
    failures: int
    used_mb: float
    set_aside: int
    outboxes: dict[str, OutboxStatus]


class JournalEntry(BaseModel):
    """One entry of the journal. `position` orders and names it; `time`: UTC epoch seconds at which it was taken; `kind`: boundary,
    watch, question, answer or dropped; `body`: what is told of it."""

    position: int
    time: float
    kind: str
    camera: str
    id: str
    body: dict[str, Any]


class JournalPage(BaseModel):
    """Entries in the order that was asked for. `next`: the `after` of the page behind, null on the last one."""

    entries: list[JournalEntry]
    next: int | None


class EngineStatus(BaseModel):
    """The device that all cameras share: pages of keys and values, what waits, what was left out or put off by reason, and percentiles of
    the newest times. `restarts`: how often it began again, of a device that had become unusable."""

    streams: int
    pages_used: int
    num_pages: int
    waiting_groups: int
    running_answers: int
    renewals: int
    restarts: int
    shed: dict[str, int]
    first_token_ms: dict[str, float]
    append_ms: dict[str, float]


class ServiceStatus(BaseModel):
    """The service as a whole. `refused`: requests by why they were refused (`unauthorized`, `at_capacity`, `slow_body`, ...). `watches`:
    judgements, those that came late (`thinned`) or not at all (`late`), and what was told. `damaged`: what of the data folder was found damaged
    since the start, by kind. `decoded_share`: by camera, pictures decoded of all that came. `limits`: by camera, what of its
    settings cannot be kept, why, and what to set. `workers`: processes that tokenize (`running`), and how often one died or hung (`lost`)."""

    version: str
    model: str
    uptime_s: float
    questions: int
    engine: EngineStatus
    mqtt: BrokerStatus
    webrtc: dict[str, int]
    refused: dict[str, int]
    watches: dict[str, int]
    workers: dict[str, int]
    damaged: dict[str, int]
    decoded_share: dict[str, float]
    limits: dict[str, list[str]]
    journal: JournalStatus

    def without_port(self) -> ServiceStatus:
        """As it is told to clients without a token: the embedded broker's port is for those who may come to it."""
        if not self.mqtt.embedded:
            return self
        return self.model_copy(update={"mqtt": self.mqtt.model_copy(update={"port": None})})


class Health(BaseModel):
    """Whether the process answers and the thread that owns the model lives."""

    ok: bool


class Readiness(BaseModel):
    """Whether at least one camera is live; the state of each, where it is told."""

    ready: bool
    cameras: dict[str, str] | None = None


def journal_entry(entry: Entry) -> JournalEntry:
    return JournalEntry(
        position=entry.position, time=entry.time_s, kind=entry.kind, camera=entry.camera, id=entry.id, body=dict(entry.body)
    )


def server_sent_event(name: str, data: dict[str, Any] | BaseModel, *, number: int | None = None) -> bytes:
    """One event of a text/event-stream (HTML standard, 9.2.6). JSON holds no bare line break, so one `data` line is enough.
    `number` is its id: a client that reconnects says it as Last-Event-ID."""
    text = data.model_dump_json() if isinstance(data, BaseModel) else json.dumps(data, ensure_ascii=False)
    place = "" if number is None else f"id: {number}\n"
    return f"event: {name}\n{place}data: {text}\n\n".encode()

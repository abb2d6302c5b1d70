"""Which MQTT messages an entry of the journal becomes. docs/mqtt.md is the table.

In: an entry. Out: messages under a prefix, in the order in which they are to be sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stream.journal import Entry

EVENT_TYPES = ("new", "update", "end")
BOUNDARY = "boundary"
"""Takes the place of a watch's name in the topics of boundary events."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """One publication."""

    topic: str
    payload: bytes
    retain: bool


def messages(entry: Entry, prefix: str, *, duplicate: bool) -> Iterator[Message]:
    """`duplicate` is said in every payload that is not retained: it may have been sent before."""
    mark = {"duplicate": True} if duplicate else {}
    match entry.kind:
        case "boundary" | "watch":
            yield _message(f"{prefix}/events", {**entry.body, **mark})
            yield from _of_watch(entry, prefix, mark)
        case "answer" if entry.body.get("via") == "mqtt":
            yield _message(f"{prefix}/answer/{entry.id}", {**entry.body, **mark})
        case "dropped":
            yield _message(f"{prefix}/dropped", {"id": entry.id, **entry.body, **mark})
        case _:
            pass


def _of_watch(entry: Entry, prefix: str, mark: Mapping[str, Any]) -> Iterator[Message]:
    """The event for Home Assistant's event entity, then the retained state of its binary sensor."""
    after = entry.body["after"]
    topic = f"{prefix}/{entry.camera}/{after['watch'] or BOUNDARY}"
    yield _message(f"{topic}/event", {"event_type": entry.body["type"], **after, **mark})
    yield Message(topic=f"{topic}/state", payload=b"OFF" if entry.body["type"] == "end" else b"ON", retain=True)


def _message(topic: str, body: Mapping[str, Any]) -> Message:
    return Message(topic=topic, payload=json.dumps(body).encode(), retain=False)

"""What goes into the journal, and comes out of it: events, questions, answers.

In: a change of an event, a question, an answer. Out: kind, camera, id and body of an entry.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from stream.events.event import Change
from stream.journal import Entry, Writer

Via = str
"""Where a question came from: `http` or `mqtt`."""


def record_change(writer: Writer, change: Change) -> Entry:
    """One step of an event's life."""
    after = change.after
    return writer.put(after.kind, after.camera, after.id, change.body())


def record_question(writer: Writer, camera: str, name: str, question: str, via: Via) -> Entry:
    return writer.put("question", camera, name, {"id": name, "camera": camera, "question": question, "via": via})


def record_answer(writer: Writer, camera: str, name: str, answer: Mapping[str, Any], via: Via) -> Entry:
    """`answer`: the body that the asker gets, or `{"error": ...}`."""
    return writer.put("answer", camera, name, {**answer, "id": name, "via": via})


def new_question_id() -> str:
    return f"ans-{secrets.token_hex(8)}"

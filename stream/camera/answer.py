"""The answer to a question, as it is told to clients and written to the journal.

In: a question and what became of it. Out: an `Answer`, which makes JSON of itself."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel

from stream.camera.question import Finished, Question


class EvidenceSpan(BaseModel):
    """Wall time that the answer rests on, UTC epoch seconds, and how many distinct frames of it were looked at."""

    start: float
    end: float
    frames: int


class AnswerWindow(BaseModel):
    """The same in media seconds. `zero_s` is where the times that an answer speaks of begin."""

    start_s: float
    end_s: float
    zero_s: float
    num_tokens: int


class AnswerTimings(BaseModel):
    """Milliseconds since the question arrived."""

    queue_ms: float
    catch_up_ms: float
    first_token_ms: float
    total_ms: float


class AnswerRecall(BaseModel):
    """Where an answer looked beside the window: UTC epoch seconds that were looked through (`evidence` says what of it was read), and
    why."""

    since: float
    until: float
    why: str


class Answer(BaseModel):
    """The last thing that a question gets. `time_zero_s` is the wall time of second 0 in the answer's own words;
    `finish_reason` is `stop`, `length` when max_tokens cut it short, or `not_seen` when nothing that was looked at shows it. `recall`
    is null when the window was all that was looked at."""

    id: str
    camera: str
    question: str
    answer: str
    finish_reason: str
    num_tokens: int
    evidence: list[EvidenceSpan]
    frame_age_ms: float
    time_zero_s: float
    window: AnswerWindow
    timings: AnswerTimings
    recall: AnswerRecall | None = None


def answer(question: Question, finished: Finished) -> Answer:
    seen = finished.seen
    return Answer(
        id=question.id,
        camera=question.camera,
        question=question.text,
        answer=finished.answer,
        finish_reason=finished.finish_reason,
        num_tokens=finished.num_tokens,
        evidence=[EvidenceSpan(**asdict(span)) for span in seen.evidence],
        frame_age_ms=round(seen.frame_age_ms, 1),
        time_zero_s=seen.time_zero_s,
        window=AnswerWindow(start_s=seen.start_s, end_s=seen.end_s, zero_s=seen.zero_s, num_tokens=seen.num_tokens),
        timings=AnswerTimings(**{key: round(value, 1) for key, value in asdict(finished.timings).items()}),
        recall=AnswerRecall(**asdict(seen.looked_back)) if seen.looked_back is not None else None,
    )

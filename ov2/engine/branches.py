"""What an answer sees: the window, older groups instead of it, or older groups beside it.

In: a question whose groups are encoded. Out: a branch to ask it on, and the prefill that writes older groups first.

- *Instead of the window*: older groups become a window of their own, right behind the system text, with times from the first
  of them. The model reads just what it would have read in a session that began there, so positions and times are those it was
  trained with.
- *Beside the window*: older groups go to the positions that renewals keep free behind the system text (`recall_tokens`), with
  times from the first of them. They see the system text and each other; the question sees them and the window.

The session shares its pages with either, and stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from ov2.engine.branch import Branch
from ov2.engine.prefill import Chunk, ChunkedPrefill
from ov2.engine.stream_state import AnswerRequest
from ov2.kv_sequence import KVSequence
from ov2.segment import EncodedGroup, Segment
from ov2.window import span_of


def the_window(question: AnswerRequest, prompt: list[int]) -> Branch:
    """The window, without groups outside of `since_s` and `until_s`."""
    context, seen = _window_of(question)
    return Branch(
        context=context,
        prompt=prompt,
        span_s=span_of([*seen, *_peek(question)]),
        group_ids=tuple(group.group_id for group in seen),
        zero_s=question.stream.window.zero_s,
    )


def instead_of_the_window(question: AnswerRequest, prompt: list[int], older: Sequence[EncodedGroup]) -> Branch:
    """Nothing but the system text yet; the older groups are written on it."""
    return Branch(
        context=question.stream.window.context.fork_first(),
        prompt=prompt,
        span_s=span_of([*older, *_peek(question)]),
        group_ids=(),
        zero_s=older[0].start_s,
        num_older_tokens=_num_tokens(question, older),
    )


def beside_the_window(question: AnswerRequest, prompt: list[int], older: Sequence[EncodedGroup]) -> Branch:
    """The window as it is now; the older groups join it when they are written."""
    context, seen = _window_of(question)
    return Branch(
        context=context,
        prompt=prompt,
        span_s=span_of([*older, *seen, *_peek(question)]),
        group_ids=tuple(group.group_id for group in seen),
        zero_s=question.stream.window.zero_s,
        num_older_tokens=_num_tokens(question, older),
    )


def older_prefill(question: AnswerRequest, older: Sequence[EncodedGroup], image_pad: int) -> ChunkedPrefill:
    """The tokens of older groups, right behind the system text."""
    window, branch, zero_s = question.stream.window, question.older, older[0].start_s
    assert branch is not None, "expected a branch"
    context = window.context.fork_first() if question.beside else branch.context
    chunks = [Chunk(window.tokens(group, zero_s), group.vision_tokens, group) for group in older]
    return ChunkedPrefill(context, chunks, image_pad)


def _window_of(question: AnswerRequest) -> tuple[KVSequence, list[EncodedGroup]]:
    since_s, until_s = question.since_s, question.until_s

    def keep(segment: Segment) -> bool:
        group = segment.group
        return group is None or ((since_s is None or group.end_s > since_s) and (until_s is None or group.start_s < until_s))

    context = question.stream.window.context.fork(keep)
    return context, [segment.group for segment in context.segments if segment.group is not None]


def _peek(question: AnswerRequest) -> list[EncodedGroup]:
    return [question.encoded] if question.encoded is not None else []


def _num_tokens(question: AnswerRequest, older: Sequence[EncodedGroup]) -> int:
    return sum(len(question.stream.window.tokens(group, older[0].start_s)) for group in older)

"""The released chat format around vision tokens: the one place that spells it, for serving and for training.

In: text and groups. Out: token ids.

    <|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n<|im_start|>user\\n     system segment
    <12.3 seconds><|vision_start|><|image_pad|>...<|vision_end|>\\n                      per run of one source frame
    Is the door open?<|im_end|>\\n<|im_start|>assistant\\n                               question tail
    Yes.<|im_end|>                                                                     answer
"""

from __future__ import annotations

from collections.abc import Sequence

from ov2.canvas import CanvasGroup
from ov2.errors import PromptError
from ov2.text import TextTokenizer

SYSTEM = "You are a helpful assistant."
RUN_TOKENS = 8
"""Tokens of a run beside its blocks and the whole digits of its time: `<`, `.`, tenth, ` seconds`, `>`, vision start, vision
end, line feed."""


def timestamp(seconds: float) -> str:
    """`<12.3 seconds>`; a time before zero reads zero."""
    return f"<{max(0.0, seconds):.1f} seconds>"


def num_run_tokens(seconds: float) -> int:
    """Text tokens of a run at this time, beside its blocks: exact for Qwen's tokenizer and for ov2-nano's, which both make
    every digit one token."""
    return RUN_TOKENS + timestamp(seconds).index(".") - 1


def system_tokens(text: TextTokenizer) -> list[int]:
    """How every session begins."""
    head = [text.im_start, *text.encode(f"system\n{SYSTEM}"), text.im_end]
    return [*head, *text.encode("\n"), text.im_start, *text.encode("user\n")]


def run_tokens(text: TextTokenizer, runs: Sequence[tuple[float, int]], *, zero_s: float) -> list[int]:
    """Tokens of runs (media seconds, blocks); timestamps count from `zero_s`."""
    line_feed, ids = text.encode("\n"), []
    for seconds, blocks in runs:
        ids += text.encode(timestamp(seconds - zero_s))
        ids += [text.vision_start, *[text.image_pad] * blocks, text.vision_end, *line_feed]
    return ids


def group_tokens(text: TextTokenizer, group: CanvasGroup, *, zero_s: float) -> list[int]:
    """Tokens of one group; its image tokens are as many as its blocks."""
    return run_tokens(text, group.runs, zero_s=zero_s)


def question_tokens(text: TextTokenizer, question: str) -> list[int]:
    """Tokens from the question to where the answer starts. Raises `PromptError` when the question is empty, or no text."""
    question = question.strip()
    if not question:
        raise PromptError("question: expected some text, got none")
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise PromptError(f"question: expected Unicode text, got half of a surrogate pair at character {error.start}") from None
    return [*text.encode(question), text.im_end, *text.encode("\n"), text.im_start, *text.encode("assistant\n")]


def answer_tokens(text: TextTokenizer, answer: str) -> list[int]:
    """Tokens that training expects for an answer, with the stop token."""
    return [*text.encode(answer), text.im_end]

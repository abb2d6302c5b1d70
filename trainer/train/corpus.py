"""Lines of the world's language, from which the vocabulary is learned.

In: nothing. Out: questions, answers, sentences, captions and timestamps, in the form that the prompt gives them.
"""

from __future__ import annotations

from collections.abc import Iterator

from trainer.world import all_sentences

GENERAL = (
    "You are a helpful assistant.",
    "system user assistant",
    "Describe the view. What do you see? What happened, and when? List the events.",
    "Is there a camera? What is it? Who is there? How many? Where? When? Why? yes no nothing none",
)


def world_lines() -> Iterator[str]:
    """Every line of the language, general phrases of the chat format, and enough timestamps to learn their parts."""
    yield from GENERAL
    yield from all_sentences()
    for second in range(100):
        yield f"<{second}.{second % 10} seconds>"
        yield f"{second} seconds: "

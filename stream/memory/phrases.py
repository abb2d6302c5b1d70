"""What a question names: phrases of words that can be looked for in pictures.

In: a question, and the words that the checkpoint knows by sight. Out: phrases; "When did the person in red leave before the
car?" names `person red` and `car`. Words of one phrase must be shown by one block.
"""

from __future__ import annotations

import re
from collections.abc import Collection

Phrases = tuple[tuple[str, ...], ...]

JOINS = frozenset({"in", "with", "of", "the", "a", "an"})
"""Words that may stand inside a phrase."""
WORD = re.compile(r"[^\W\d_]+|[.,;:?!]")
"""A word, or a sign that ends a phrase."""


def phrases_of(question: str, known: Collection[str]) -> Phrases:
    """Phrases of known words, each once, in order. A plural counts as its singular."""
    phrases: list[tuple[str, ...]] = []
    open_phrase: list[str] = []
    for word in [*WORD.findall(question.lower()), ""]:
        name = word if word in known else word.removesuffix("s")
        if name in known:
            open_phrase.append(name)
        elif word not in JOINS and open_phrase:
            phrases.append(tuple(open_phrase))
            open_phrase = []
    return tuple(dict.fromkeys(phrases))

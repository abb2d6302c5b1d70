"""What a benchmark's answers are worth together, and what chance would give.

In: a benchmark, its questions and answers. Out: the closing object of `ov2 eval NAME --json`.

Metrics are means over questions; those of facts are of their sums. Chance is what a constant answer scores: to each question of a family
(intervals of the dog, places of cars) that true answer about other films which does best on them, or a draw from the answers it allows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from trainer.evaluate.benchmarks import Answered, Benchmark, film_of
from trainer.evaluate.scoring import FilmScorer, Metrics

MOST_CONSTANTS = 16
"""Answers of a family that are tried as constants, the commonest first."""


def verdict(
    benchmark: Benchmark, answered: Sequence[Answered], done: Callable[[int], None] = lambda count: None
) -> dict[str, object]:
    """Metrics of all, of each type, and of chance; `done(count)` is called as questions are scored."""
    told, constant = _scored(benchmark, answered, done)
    by_type = {}
    for name in benchmark.types:
        rows = [row for row, one in enumerate(answered) if one.question.type == name]
        if rows:
            chance = _together(constant[row] for row in rows)["score"]
            by_type[name] = {**_together(told[row] for row in rows), "chance": chance, "num": len(rows)}
    scored = [row for row, one in enumerate(answered) if one.question.type in (benchmark.scored or benchmark.types)]
    return {
        **_together(told[row] for row in scored),
        "metric": benchmark.metric,
        "chance": _together(constant[row] for row in scored).get("score", 0.0),
        "llm_tokens": _tokens(answered),
        "num_films": len({one.seed for one in answered}),
        "num_questions": len(answered),
        "by_type": by_type,
    }


def _scored(
    benchmark: Benchmark, answered: Sequence[Answered], done: Callable[[int], None]
) -> tuple[list[Metrics], list[Metrics]]:
    """Of each question the metrics of its answer, and those of the constant that one would choose by the others of its family."""
    families: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, one in enumerate(answered):
        families[one.question.type, one.question.family].append(row)
    constants = {key: _constants([answered[row].question.answer for row in rows]) for key, rows in families.items()}
    told: list[Metrics] = []
    tried: list[list[Metrics]] = []
    scorer: FilmScorer | None = None
    for one in answered:
        if scorer is None or scorer.world.seed != one.seed:
            scorer = FilmScorer(film_of(benchmark, one.seed)[0])
        told.append(scorer.metrics(one.question, one.answer, one.zero_s))
        of_family = constants[one.question.type, one.question.family]
        tried.append([scorer.metrics(one.question, answer, one.zero_s) for answer in of_family])
        done(len(told))
    chosen: dict[int, Metrics] = {}
    for key, rows in families.items():
        chosen.update(_chosen([answered[row] for row in rows], constants[key], [tried[row] for row in rows], rows))
    return told, [chosen[row] for row in range(len(answered))]


def _constants(truths: Iterable[str]) -> list[str]:
    return [answer for answer, _ in Counter(truths).most_common(MOST_CONSTANTS)]


def _chosen(
    several: Sequence[Answered], constants: Sequence[str], tried: Sequence[Sequence[Metrics]], rows: Sequence[int]
) -> dict[int, Metrics]:
    """A family's constants: for each question the best of those that are true of another film, by their scores on other films."""
    scores_NC = np.array([[metrics["score"] for metrics in row] for row in tried])
    seeds_N = np.array([one.seed for one in several])
    chosen: dict[int, Metrics] = {}
    for index, (row, one) in enumerate(zip(rows, several, strict=True)):
        others_N = seeds_N != one.seed
        truths = {other.question.answer for other in several if other.seed != one.seed}
        known = [c for c, answer in enumerate(constants) if answer in truths]
        others_C = scores_NC[others_N].sum(axis=0)
        best = max(known, key=lambda c: others_C[c], default=None)
        chosen[row] = _nothing(tried[index][0]) if best is None else tried[index][best]
    drawn = [1 / len(one.question.choices) for one in several if one.question.choices]
    if sum(drawn) > sum(metrics["score"] for metrics in chosen.values()):
        return {row: {"score": share} for row, share in zip(rows, drawn, strict=True)}
    return chosen


def _nothing(perfect: Metrics) -> Metrics:
    """Saying nothing, where no other question tells what might be said: of a caption all facts are missed."""
    nothing = dict.fromkeys(perfect, 0.0)
    return nothing | ({"missed": perfect["right"]} if "right" in perfect else {})


def _together(several: Iterable[Metrics]) -> dict[str, float]:
    """Means of metrics by name; of facts their sums, and the F1 of these."""
    columns: dict[str, list[float]] = defaultdict(list)
    for metrics in several:
        for name, value in metrics.items():
            columns[name].append(value)
    if "right" in columns:
        right, invented, missed = (sum(columns[name]) for name in ("right", "invented", "missed"))
        both = 2 * right + invented + missed
        return {"score": 2 * right / both if both else 1.0, "right": right, "invented": invented, "missed": missed}
    return {name: float(np.mean(values)) for name, values in columns.items()}


def _tokens(answered: Sequence[Answered]) -> float:
    """LLM tokens of a film until its last question, mean over films."""
    films: dict[int, int] = {}
    for one in answered:
        films[one.seed] = max(one.num_tokens, films.get(one.seed, 0))
    return float(np.mean([*films.values()])) if films else 0.0

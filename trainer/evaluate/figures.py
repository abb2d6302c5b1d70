"""Pictures of an evaluation: what the model saw, what it was asked, what it said.

In: `Scores`. Out: one PNG page per question type with its first wrong answers.
"""

from __future__ import annotations

from pathlib import Path

from trainer.evaluate.answers import Asked, Scores

FAILURES_PER_PAGE = 8


def save_failures(scores: Scores, folder: Path) -> list[Path]:
    """Write `wrong_TYPE.png` for every type with wrong answers; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in scores.by_type:
        wrong = [a for a in scores.asked if a.question.type == name and not a.correct][:FAILURES_PER_PAGE]
        if wrong:
            paths.append(folder / f"wrong_{name}.png")
            _page(wrong, paths[-1])
    return paths


def _page(items: list[Asked], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(len(items), 1, figsize=(8, 2.1 * len(items)), squeeze=False, layout="constrained")
    for axis, item in zip(rows[:, 0], items, strict=True):
        axis.imshow(np.concatenate(list(item.canvases), axis=1))
        axis.set_axis_off()
        told = f"seed {item.seed}, {item.question.at_s:.1f} s: {item.question.text}"
        axis.set_title(f"{told}\nexpected: {item.question.answer}   said: {item.answer}", fontsize=9, loc="left")
    figure.savefig(path, dpi=90)
    pyplot.close(figure)

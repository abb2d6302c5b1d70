"""The record of a run: one CSV of curves, and one plot.

In: numbers of a step, or of a validation. Out: `curves.csv` (long form: step, name, value), `loss.png`.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

CURVES = (("loss", "answers (smoothed)", "tab:blue"), ("naming", "naming blocks (smoothed)", "tab:orange"))
HEADER = ("step", "name", "value")
SMOOTHING = 0.97


class Record:
    """Appends rows to `curves.csv`; a resumed run drops the rows past the step that it resumes from."""

    def __init__(self, folder: Path, *, resume_step: int = 0) -> None:
        self.path = folder / "curves.csv"
        kept = [row for row in self.rows() if int(row[0]) < resume_step] if resume_step else []
        folder.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="") as file:
            csv.writer(file).writerows([HEADER, *kept])
        partial.replace(self.path)

    def rows(self) -> list[tuple[str, str, str]]:
        """All rows but the header, and but a last one that a killed run has left unfinished."""
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return [(row[0], row[1], row[2]) for row in list(csv.reader(file))[1:] if len(row) == len(HEADER)]

    def add(self, step: int, **values: float) -> None:
        """Append one row per value."""
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerows((step, name, f"{value:.6g}") for name, value in values.items())

    def plot(self, path: Path) -> None:
        """Draw the loss, smoothed, above the validation accuracy of each question type."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for step, name, value in self.rows():
            curves[name].append((int(step), float(value)))
        figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 8), sharex=True, layout="constrained")
        for name, label, colour in CURVES:
            if curves[name]:
                steps, values = zip(*curves[name], strict=True)
                above.plot(steps, values, alpha=0.2, color=colour)
                above.plot(steps, _smoothed(values), color=colour, label=label)
                above.legend()
        above.set_yscale("log")
        above.set_ylabel("loss, nats")
        for name, points in sorted(curves.items()):
            if name.startswith("exact/"):
                below.plot(*zip(*points, strict=True), label=name.removeprefix("exact/"))
                below.legend(ncols=3, fontsize="small")
        below.set_xlabel("step")
        below.set_ylabel("validation, exact answers")
        below.set_ylim(0, 1)
        figure.savefig(path, dpi=110)
        pyplot.close(figure)


def _smoothed(values: Sequence[float]) -> list[float]:
    """Running mean with a memory of about thirty steps."""
    smooth, mean = [], values[0]
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        smooth.append(mean)
    return smooth

"""`ov2 eval jumpscore`, `grounding`, `tracking`, `spatial`, `captions`: the published metrics on the generated world, through the live path.

In: a checkpoint and test seeds. Out: a table per question type, one JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ov2_cli.evaluate_options import AsJson, InputName, Model, Seeds, Weights, Workers, checked

HELP = {
    "jumpscore": "When did each jump of a rope start? AP at 0.1, 0.2 and 0.3 s, their mean.",
    "grounding": "From when to when was it so? mIoU, recall at three IoUs, mAP; beside it when, and what was not seen.",
    "tracking": "Where was it, second by second? J&F of masks; precision, recall and F1 of points.",
    "spatial": "Where is it: a point, a box, left of what, in front of whom? Share that is right.",
    "captions": "Descriptions and logs: which facts are right, invented, missed? F1 of facts.",
}


def benchmark(name: str) -> Callable[..., None]:
    """The command of a benchmark."""

    def command(
        seeds: Seeds = "900000:900020",
        model: Model = "ov2-nano",
        weights: Weights = "model",
        workers: Workers = 2,
        input_name: InputName = "codec",
        as_json: AsJson = False,
    ) -> None:
        _run(name, seeds, model, weights, workers, input_name, as_json)

    command.__doc__ = HELP[name]
    return command


def _run(name: str, seeds: str, model: str, weights: str, workers: int, input_name: str, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from trainer.evaluate.benchmarks import BENCHMARKS, answer_seeds
    from trainer.evaluate.verdict import verdict

    wanted, kind = checked(seeds, model, weights)
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        task = progress.add_task("asking", total=len(wanted))
        answered = answer_seeds(
            name,
            model,
            wanted,
            weights=kind,
            workers=workers,
            input_name=input_name,
            done=lambda count: progress.update(task, completed=count),
        )
        task = progress.add_task("scoring", total=len(answered))
        told = verdict(BENCHMARKS[name], answered, lambda count: progress.update(task, completed=count))
    _print_table(console, name, told)
    if as_json:
        print(json.dumps(told))


def _print_table(console: Any, name: str, told: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=f"{name}: {told['num_questions']} questions about {told['num_films']} films")
    for column in ("type", "questions", "score", "chance"):
        table.add_column(column, justify="left" if column == "type" else "right")
    for kind, of_type in told["by_type"].items():
        table.add_row(kind, str(of_type["num"]), f"{of_type['score']:.1%}", f"{of_type['chance']:.1%}")
    table.add_section()
    table.add_row(told["metric"], "", f"{told.get('score', 0.0):.1%}", f"{told['chance']:.1%}")
    console.print(table)
    others = [key for key in told if key not in ("score", "metric", "chance", "by_type", "num_films", "num_questions")]
    console.print("  ".join(f"{key} {told[key]:.3g}" for key in others))

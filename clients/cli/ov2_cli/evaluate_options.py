"""What every evaluation by questions is told: seeds, checkpoint, weights, processes, input. In: options. Out: those that can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

if TYPE_CHECKING:
    from ov2.weights import WeightType

Seeds = Annotated[str, typer.Option(help="Test seeds A:B, B left out.")]
Model = Annotated[str, typer.Option(help="Checkpoint: a bundled name or a folder.")]
Weights = Annotated[str, typer.Option(help="model, int8 or int4.")]
Workers = Annotated[int, typer.Option(help="Processes that ask.", min=1)]
InputName = Annotated[str, typer.Option("--input", help="What the model is shown of a film: codec, frames or ippp.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


def checked(seeds: str, model: str, weights: str) -> tuple[range, WeightType]:
    """Seeds and weights. Raises `BadParameter`, `SeedError`, `CheckpointError`."""
    from ov2.checkpoint import find
    from ov2.weights import WeightType
    from trainer.evaluate.answers import seed_range

    if weights not in get_args(WeightType):
        raise typer.BadParameter(f"expected {', '.join(get_args(WeightType))}, got {weights}", param_hint="--weights")
    wanted = seed_range(seeds)
    find(model)
    return wanted, cast(WeightType, weights)

"""Margins of yes/no questions against the truth, through the live path; and the calibration that makes log-odds of them.

In: a model and seeds. Out: margins with their truths; `scale` and `bias` by logistic regression (Platt 1999), fitted on training seeds
alone, for `judge` in a checkpoint's stream.json.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ov2.engine import Engine, EngineSettings
from ov2.model import OV2Model
from stream.sources import open_source
from stream.tokenizer.inputs import new_tokenizer
from stream.tokenizer.settings import settings_from
from trainer.data.clips import CameraSpec, moment_times
from trainer.world import World, questions_at, write_file
from trainer.world.language import QuestionType

YES_NO: tuple[QuestionType, ...] = ("presence", "still_there")
PER_MOMENT = 8
BINS = 10
STEPS = 200
"""Newton steps of the fit, many more than it takes."""
RIDGE = 1e-3


@dataclass(frozen=True, slots=True)
class Margin:
    """One judged question."""

    seed: int
    question: str
    margin: float
    holds: bool


def judge_seed(model: OV2Model, seed: int, spec: CameraSpec | None = None) -> list[Margin]:
    """Stream one seed through an engine, and judge yes/no questions about it at every moment, all of a moment at once."""
    spec = spec or CameraSpec()
    world, rng = World(seed, duration_s=spec.duration_s), np.random.default_rng([seed, 17])
    tokenizer = new_tokenizer(settings_from(model.stream_settings.get("tokenizer", {})))
    waiting = moment_times(seed, spec)
    judged: list[Margin] = []
    with tempfile.TemporaryDirectory(prefix="ov2-margins-") as folder, Engine(model, EngineSettings(max_streams=1)) as engine:
        stream = engine.open("camera")
        path = Path(folder) / "camera.mp4"
        write_file(world, path, width=spec.width, height=spec.height, fps=spec.fps, camera=spec.camera)
        with open_source(str(path)) as packets:
            for packet in packets:
                while waiting and packet.pts_s > waiting[0]:
                    since_s = stream.window[0] if stream.window else 0.0
                    asked = questions_at(world, waiting.pop(0), since_s=since_s, rng=rng, num=PER_MOMENT, types=list(YES_NO))
                    margins = stream.judge([question.text for question in asked], peek=tokenizer.peek())
                    judged += [
                        Margin(seed, question.text, margin, question.answer == "yes")
                        for question, margin in zip(asked, margins, strict=True)
                    ]
                for group in tokenizer.push(packet):
                    stream.append(group).result()
    return judged


def judge_seeds(model: OV2Model, seeds: Sequence[int], done: Callable[[int], None] = lambda count: None) -> list[Margin]:
    """Many seeds, one after another."""
    judged: list[Margin] = []
    for count, seed in enumerate(seeds, 1):
        judged += judge_seed(model, seed)
        done(count)
    return judged


def fit(judged: Iterable[Margin]) -> dict[str, float]:
    """`scale` and `bias` of the margins that make log-odds of them; of margins that went through a calibration, what to multiply and
    add further."""
    items = list(judged)
    x_N2 = np.array([[item.margin, 1.0] for item in items])
    holds_N = np.array([item.holds for item in items], float)
    weights_2 = np.array([1.0, 0.0])
    for _ in range(STEPS):
        share_N = 1 / (1 + np.exp(-x_N2 @ weights_2))
        gradient_2 = x_N2.T @ (share_N - holds_N) + RIDGE * weights_2
        hessian_22 = (x_N2 * (share_N * (1 - share_N))[:, None]).T @ x_N2 + RIDGE * np.eye(2)
        weights_2 = weights_2 - np.linalg.solve(hessian_22, gradient_2)
    return {"scale": float(weights_2[0]), "bias": float(weights_2[1])}


def quality(judged: Iterable[Margin]) -> dict[str, float]:
    """`accuracy` of the sign; `auc`: how often a question that holds has the larger margin; `calibration_error`: mean distance of the
    stated share from the true one, over ten equal bins of it (Naeini et al. 2015); `base_rate` of yes."""
    items = list(judged)
    margins_N = np.array([item.margin for item in items])
    holds_N = np.array([item.holds for item in items])
    ranks_N = margins_N.argsort().argsort() + 1.0
    num_yes, num_no = int(holds_N.sum()), int((~holds_N).sum())
    auc = (ranks_N[holds_N].sum() - num_yes * (num_yes + 1) / 2) / max(1, num_yes * num_no)
    share_N = 1 / (1 + np.exp(-margins_N))
    bin_N = np.minimum((share_N * BINS).astype(int), BINS - 1)
    error = sum(
        abs(share_N[bin_N == b].mean() - holds_N[bin_N == b].mean()) * (bin_N == b).mean()
        for b in range(BINS)
        if (bin_N == b).any()
    )
    return {
        "accuracy": float(((margins_N > 0) == holds_N).mean()),
        "auc": float(auc),
        "calibration_error": float(error),
        "base_rate": float(holds_N.mean()),
        "num": float(len(items)),
    }

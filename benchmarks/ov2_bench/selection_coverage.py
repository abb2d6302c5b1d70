"""`ov2 bench selection`: how much of what moves the chosen blocks show, at equal tokens.

In: world seeds. Out: for each policy, over films of several encodings, through the whole tokenizer with all else by default:

- `coverage`: of all pixels of moving actors' boxes in all source frames, the share that was shown, at that frame's own time;
- `aim`: of all pixels shown, the share that lies in such a box;
- `moments`: of the half seconds in which something moves, the share in which some frame shows at least half of what moves in it;
- `llm_tokens`: what it cost, timestamps counted. Groups are cut by packet costs, so all policies fill the same canvases.

Each policy runs at the default of four canvases per group, where there is room for most of what moves, and with `one P-canvas`
(two canvases per group), where blocks compete. `uniform frames` shows whole frames, evenly spaced, at the default policy's tokens.
An actor is its box in the world's state, cut at the picture's edge; it moves when the renderer would draw it differently in the
next frame. Policies with bits need an evidence that has them, and are left out, with a word, where it has not.

Shape letters: T frames, R and C block rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ov2_bench.films import ENCODINGS, Encoding, Films

if TYPE_CHECKING:
    import numpy as np

    from ov2.canvas import CanvasGroup
    from stream.codec.decode import DecodedFrame
    from stream.tokenizer.settings import TokenizerSettings
    from stream.units import FrameEvidence
    from trainer.world import World

FILMED = tuple(encoding for encoding in ENCODINGS if encoding.name in ("crf", "cbr", "smart"))
SECONDS = 60.0
MOMENT_S = 0.5
ENOUGH = 0.5
"""Share of a frame's moving pixels that tells what moves."""
BITS_ALONE = 1e6
"""Weight of bits beside which motion and residual only break ties."""
WEIGHTS: dict[str, dict[str, float]] = {
    "motion": {"weight_motion": 1.0, "weight_residual": 0.0},
    "residual": {"weight_motion": 0.0, "weight_residual": 1.0},
    "motion+residual": {"weight_motion": 1.0, "weight_residual": 1.0},
    "bits": {"weight_motion": 1.0, "weight_residual": 1.0, "weight_bits": BITS_ALONE},
    "all": {"weight_motion": 1.0, "weight_residual": 1.0, "weight_bits": 1.0},
}
CHOICES = {"stratified": "stratified", "topk": "readiness"}
"""Name here -> the tokenizer's `policy`."""
ROOM: dict[str, dict[str, int]] = {"": {}, ", one P-canvas": {"canvases_per_group": 2}}
DEFAULT = "motion+residual, stratified"
UNIFORM = "uniform frames"
Blocks = dict[int, "np.ndarray"]
"""Frame number -> block (row, col) [n, 2]."""
Row = dict[str, float | int | None]
Table = dict[str, Row]


@dataclass(slots=True)
class Shown:
    """Sums over films."""

    moving_px: float = 0.0
    moving_shown_px: float = 0.0
    shown_px: float = 0.0
    num_moments: int = 0
    num_moments_told: int = 0
    llm_tokens: int = 0
    had_bits: bool = True

    def row(self) -> Row:
        return {
            "coverage": round(self.moving_shown_px / max(self.moving_px, 1.0), 4),
            "llm_tokens": self.llm_tokens,
            "aim": round(self.moving_shown_px / max(self.shown_px, 1.0), 4),
            "moments": round(self.num_moments_told / max(self.num_moments, 1), 4),
        }


@dataclass(frozen=True, slots=True)
class Truth:
    """Pixels of moving actors in every block of every frame, `moving_px` float [T, R, C]."""

    moving_px: np.ndarray
    fps: int

    def add_to(self, shown: Shown, blocks: Blocks) -> None:
        """Count what `blocks` show."""
        import numpy as np

        from ov2.canvas import BLOCK_PX

        moving_T = self.moving_px.sum(axis=(1, 2))
        seen_T = np.zeros(len(moving_T))
        for frame, rows_cols in blocks.items():
            seen_T[frame] = self.moving_px[frame, rows_cols[:, 0], rows_cols[:, 1]].sum()
            shown.shown_px += len(rows_cols) * BLOCK_PX**2
        shown.moving_px += float(moving_T.sum())
        shown.moving_shown_px += float(seen_T.sum())
        moments_T = (np.arange(len(moving_T)) / self.fps / MOMENT_S).astype(int)
        for moment in np.unique(moments_T[moving_T > 0]):
            here = (moments_T == moment) & (moving_T > 0)
            shown.num_moments += 1
            shown.num_moments_told += bool((seen_T[here] >= ENOUGH * moving_T[here]).any())


@dataclass(slots=True)
class Probe:
    """Measures frames as the tokenizer does, and notices whether bits are known."""

    bits: list[bool] = field(default_factory=list)

    def __call__(self, frame: DecodedFrame, previous: DecodedFrame | None) -> FrameEvidence:
        from stream.codec.evidence import measure

        evidence = measure(frame, previous)
        self.bits.append(evidence.bits is not None)
        return evidence


def bench_selection(
    seeds: Sequence[int],
    folder: Path,
    *,
    seconds: float = SECONDS,
    encodings: Sequence[Encoding] = FILMED,
    size: tuple[int, int] = (640, 360),
    tell: Callable[[str], None] = lambda line: None,
) -> Table:
    """Run every policy over every film."""
    films = Films(folder=folder, seconds=seconds, width=size[0], height=size[1], tell=tell)
    sums = {name: Shown() for name in policies()}
    uniform = {room: Shown() for room in ROOM}
    for seed in seeds:
        for encoding in encodings:
            path = films.path(seed, encoding)
            truth = _truth(films.world(seed), encoding.fps, size)
            for name, settings in policies().items():
                if sums[name].had_bits:
                    _run(path, settings, truth, sums[name])
            for room, shown in uniform.items():
                _show_uniform(truth, shown, until_tokens=sums[DEFAULT + room].llm_tokens)
    left_out = [name for name, shown in sums.items() if not shown.had_bits]
    if left_out:
        tell(f"  left out, for the evidence has no bits per macroblock: {'; '.join(left_out)}")
    sums |= {UNIFORM + room: shown for room, shown in uniform.items()}
    return {name: shown.row() for name, shown in sums.items() if shown.had_bits}


def policies() -> dict[str, TokenizerSettings]:
    """Every policy by name."""
    from stream.tokenizer.settings import settings_from

    return {
        f"{weights}, {choice}{room}": settings_from({**WEIGHTS[weights], "policy": CHOICES[choice], **ROOM[room]})
        for room in ROOM
        for choice in CHOICES
        for weights in WEIGHTS
    }


def _truth(world: World, fps: int, size: tuple[int, int]) -> Truth:
    import numpy as np

    from ov2.canvas import BLOCK_PX
    from stream.tokenizer.pack import canvas_size
    from stream.tokenizer.settings import TokenizerSettings
    from trainer.world.encode import num_frames
    from trainer.world.render import is_still

    max_pixels = TokenizerSettings().max_pixels
    assert max_pixels is not None, "expected a size by default"
    width, height = canvas_size(*size, max_pixels)
    num = num_frames(world.duration_s, fps)
    moving = np.zeros((num, height // BLOCK_PX, width // BLOCK_PX))
    for frame in range(num):
        mask = np.zeros((height, width), bool)
        for actor in world.state_at(frame / fps).actors:
            if not is_still(actor):
                left, top, right, bottom = (max(0.0, side) for side in actor.box)
                mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
        moving[frame] = mask.reshape(height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX).sum(axis=(1, 3))
    return Truth(moving, fps)


def _run(path: Path, settings: TokenizerSettings, truth: Truth, shown: Shown) -> None:
    """Tokenize a film by a policy."""
    from stream.sources import open_source
    from stream.tokenizer.budget import num_llm_tokens
    from stream.tokenizer.tokenizer import Tokenizer

    probe = Probe()
    tokenizer = Tokenizer(settings, measure=probe)
    groups: list[CanvasGroup] = []
    with open_source(str(path)) as packets:
        for packet in packets:
            groups += tokenizer.push(packet)
            if settings.weight_bits and not all(probe.bits):
                shown.had_bits = False
                return
    groups += tokenizer.flush()
    shown.llm_tokens += sum(num_llm_tokens(group) for group in groups)
    truth.add_to(shown, _blocks(groups))


def _blocks(groups: Iterable[CanvasGroup]) -> Blocks:
    """Blocks that groups show, each once, by source frame."""
    import numpy as np

    from ov2.canvas import BLOCK_PATCHES, MERGE

    patches = np.concatenate([group.positions[::BLOCK_PATCHES] for group in groups])
    patches = np.unique(patches, axis=0)
    return {int(frame): patches[patches[:, 0] == frame, 1:] // MERGE for frame in np.unique(patches[:, 0])}


def _show_uniform(truth: Truth, shown: Shown, *, until_tokens: int) -> None:
    """Whole frames, evenly spaced, as many as bring the tokens nearest to `until_tokens`."""
    import numpy as np

    from ov2.prompt import num_run_tokens

    num_frames, num_rows, num_cols = truth.moving_px.shape
    whole = np.argwhere(np.ones((num_rows, num_cols), bool))
    per_frame = len(whole) + num_run_tokens(num_frames / truth.fps / 2)
    num = max(1, min(num_frames, round((until_tokens - shown.llm_tokens) / per_frame)))
    frames = ((np.arange(num) + 0.5) * num_frames / num).astype(int)
    shown.llm_tokens += sum(len(whole) + num_run_tokens(frame / truth.fps) for frame in frames)
    truth.add_to(shown, {int(frame): whole for frame in frames})

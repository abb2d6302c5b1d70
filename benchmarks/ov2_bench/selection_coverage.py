"""`ov2 bench selection`: how much of what moves the chosen blocks show, at equal tokens.

In: films whose moving pixels are known: yards of world seeds in several encodings, or a folder of real films. Out: for each policy, over every
film and for each encoding or film by itself, through the whole tokenizer:

- `coverage`: of all moving pixels in all source frames, the share that was shown, at that frame's own time;
- `aim`: of all pixels shown, the share that moves;
- `moments`: of the half seconds in which something moves, the share in which some frame shows at least half of what moves in it;
- `llm_tokens`: what it cost, timestamps counted.

`moving_pixels.py` says what moves, `selection_policies.py` what is compared. `uniform frames` shows whole frames, evenly spaced, at the first
policy's tokens. Policies with bits need an evidence that has them, and are left out, with a word, where it has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ov2_bench.errors import RunError
from ov2_bench.films import ENCODINGS, Encoding, Films
from ov2_bench.groups import films_in
from ov2_bench.moving_pixels import Motion, Truth, YardMotion, mask_motion, truth_of
from ov2_bench.selection_policies import AS_DEAR, FIRST, PRESETS, PUBLISHED, ROOM, UNIFORM, Given, policies

if TYPE_CHECKING:
    import numpy as np

    from ov2.canvas import CanvasGroup
    from stream.codec.decode import DecodedFrame
    from stream.tokenizer.settings import TokenizerSettings
    from stream.units import FrameEvidence

FILMED = tuple(encoding for encoding in ENCODINGS if encoding.name in ("crf", "cbr", "smart"))
SECONDS = 60.0
MOMENT_S = 0.5
ENOUGH = 0.5
"""Share of a frame's moving pixels that tells what moves."""
LOOPED = "_looped"
"""Ends the names of films that show another one's footage again and again."""
EVERY = "every film"
RATE_TRIES = 2
"""Token rates tried until a preset is as dear as another."""
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

    def row(self) -> Row:
        return {
            "coverage": round(self.moving_shown_px / max(self.moving_px, 1.0), 4),
            "llm_tokens": self.llm_tokens,
            "aim": round(self.moving_shown_px / max(self.shown_px, 1.0), 4),
            "moments": round(self.num_moments_told / max(self.num_moments, 1), 4),
        }

    def __add__(self, other: Shown) -> Shown:
        return Shown(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def compare(truth: Truth, blocks: Blocks, llm_tokens: int) -> Shown:
    """What `blocks` show of a film."""
    import numpy as np

    from ov2.canvas import BLOCK_PX

    moving_T = truth.moving_px.sum(axis=(1, 2))
    seen_T = np.zeros(len(moving_T))
    for frame, rows_cols in blocks.items():
        seen_T[frame] = truth.moving_px[frame, rows_cols[:, 0], rows_cols[:, 1]].sum()
    moments_T = (np.arange(len(moving_T)) / truth.fps / MOMENT_S).astype(int)
    told_T = (moving_T > 0) & (seen_T >= ENOUGH * moving_T)
    return Shown(
        moving_px=float(moving_T.sum()),
        moving_shown_px=float(seen_T.sum()),
        shown_px=float(sum(len(rows_cols) for rows_cols in blocks.values()) * BLOCK_PX**2),
        num_moments=len(np.unique(moments_T[moving_T > 0])),
        num_moments_told=len(np.unique(moments_T[told_T])),
        llm_tokens=llm_tokens,
    )


@dataclass(slots=True)
class Probe:
    """Measures frames as the tokenizer does, and notices whether bits are known."""

    bits: list[bool] = field(default_factory=list)

    def __call__(self, frame: DecodedFrame, previous: DecodedFrame | None) -> FrameEvidence:
        from stream.codec.evidence import measure

        evidence = measure(frame, previous)
        self.bits.append(evidence.bits is not None)
        return evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingFilm:
    """A film whose moving pixels are known. Its figures are told under `name`, together with those of other films of that name."""

    name: str
    path: Path
    motion: Motion
    truths: dict[tuple[int, int], Truth] = field(default_factory=dict)

    def truth(self, grid_rc: tuple[int, int]) -> Truth:
        """For canvases of so many block rows and columns."""
        if grid_rc not in self.truths:
            self.truths[grid_rc] = truth_of(self.motion, grid_rc)
        return self.truths[grid_rc]


def yards(
    seeds: Sequence[int],
    folder: Path,
    *,
    seconds: float = SECONDS,
    encodings: Sequence[Encoding] = FILMED,
    size: tuple[int, int] = (640, 360),
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[MovingFilm]:
    """Films of every seed and encoding, made in `folder` where they are not there yet."""
    films = Films(folder=folder, seconds=seconds, width=size[0], height=size[1], tell=tell)
    for seed in seeds:
        for encoding in encodings:
            motion = YardMotion(films.world(seed), encoding.fps)
            yield MovingFilm(name=encoding.name, path=films.path(seed, encoding), motion=motion)


def real_films(folder: Path, *, only: str = "") -> Iterator[MovingFilm]:
    """The films of a folder whose name holds `only`; looped ones only when that says so. Raises RunError without films or truth."""
    films = [film for film in films_in(folder, only=only) if not film.name.endswith(LOOPED) or LOOPED in only]
    if not films:
        raise RunError(f"--only: expected a part of some film's name in {folder}, got {only!r}, which none has")
    for film in films:
        yield MovingFilm(name=film.name, path=film.path, motion=mask_motion(film.path))


def bench_selection(films: Iterable[MovingFilm], *, tell: Callable[[str], None] = lambda line: None) -> dict[str, Table]:
    """Every policy over every film: a table of every film, then one for each name."""
    sums: dict[str, dict[str, Shown]] = {EVERY: {}}
    without_bits: set[str] = set()
    for film in films:
        tell(f"  {film.path.name}")
        for name, shown in _run_all(film).items():
            if shown is None:
                without_bits.add(name)
                continue
            for policies_shown in (sums[EVERY], sums.setdefault(film.name, {})):
                policies_shown[name] = policies_shown.get(name, Shown()) + shown
    if without_bits:
        tell(f"  left out, for the evidence has no bits per macroblock: {'; '.join(sorted(without_bits))}")
    return {
        film: {name: shown.row() for name, shown in by_policy.items() if name not in without_bits}
        for film, by_policy in sums.items()
    }


def _run_all(film: MovingFilm) -> dict[str, Shown | None]:
    """Every policy, then uniform frames, then the presets; None where bits are missing."""
    shown: dict[str, Shown | None] = {name: _run(film, given) for name, given in policies().items()}
    for room in ROOM:
        if (first := shown[FIRST + room]) is not None:
            shown[UNIFORM + room] = _uniform(film, until_tokens=first.llm_tokens)
    as_are = {name: _run(film, given) for name, given in PRESETS.items()}
    published = as_are[PUBLISHED]
    for name, own in as_are.items():
        shown[name] = own
        if name != PUBLISHED and own is not None and published is not None:
            shown[name + AS_DEAR] = _run_as_dear(film, PRESETS[name], own, published.llm_tokens)
    return shown


def _run(film: MovingFilm, given: Given) -> Shown | None:
    """What a policy shows of a film; None where it needs bits that the evidence has not."""
    from stream.sources import open_source
    from stream.tokenizer.budget import num_llm_tokens
    from stream.tokenizer.settings import settings_from
    from stream.tokenizer.tokenizer import Tokenizer

    settings: TokenizerSettings = settings_from(given)
    probe = Probe()
    tokenizer = Tokenizer(settings, measure=probe)
    groups: list[CanvasGroup] = []
    with open_source(str(film.path)) as packets:
        for packet in packets:
            groups += tokenizer.push(packet)
            if settings.weight_bits and not all(probe.bits):
                return None
    groups += tokenizer.flush()
    return compare(film.truth(_grid_rc(groups[0])), _blocks(groups), sum(num_llm_tokens(group) for group in groups))


def _run_as_dear(film: MovingFilm, given: Given, shown: Shown | None, llm_tokens: int) -> Shown | None:
    """The same as `shown` at a token rate that costs about `llm_tokens`."""
    from stream.tokenizer.settings import TokenizerSettings

    rate = TokenizerSettings().token_rate
    for _ in range(RATE_TRIES):
        if shown is not None:
            rate *= llm_tokens / shown.llm_tokens
            shown = _run(film, {**given, "token_rate": rate})
    return shown


def _grid_rc(group: CanvasGroup) -> tuple[int, int]:
    """Block rows and columns of a canvas."""
    from ov2.canvas import MERGE

    rows, cols = group.grid_hw
    return rows // MERGE, cols // MERGE


def _blocks(groups: Iterable[CanvasGroup]) -> Blocks:
    """Blocks that groups show, each once, by source frame."""
    import numpy as np

    from ov2.canvas import BLOCK_PATCHES, MERGE

    patches = np.concatenate([group.positions[::BLOCK_PATCHES] for group in groups])
    patches = np.unique(patches, axis=0)
    return {int(frame): patches[patches[:, 0] == frame, 1:] // MERGE for frame in np.unique(patches[:, 0])}


def _uniform(film: MovingFilm, *, until_tokens: int) -> Shown:
    """Whole frames, evenly spaced, as many as bring the tokens nearest to `until_tokens`."""
    import numpy as np

    from ov2.prompt import num_run_tokens

    truth = next(iter(film.truths.values()))
    num_frames, num_rows, num_cols = truth.moving_px.shape
    whole = np.argwhere(np.ones((num_rows, num_cols), bool))
    per_frame = len(whole) + num_run_tokens(num_frames / truth.fps / 2)
    num = max(1, min(num_frames, round(until_tokens / per_frame)))
    frames = ((np.arange(num) + 0.5) * num_frames / num).astype(int)
    llm_tokens = sum(len(whole) + num_run_tokens(frame / truth.fps) for frame in frames)
    return compare(truth, {int(frame): whole for frame in frames}, llm_tokens)

"""Settings of the tokenizer: one frozen record, one default for each, unknown keys refused.

In: keyword arguments, or a mapping (YAML, `stream.json`) through `settings_from`. Out: `TokenizerSettings`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from stream.errors import SettingsError
from stream.tokenizer.costs import COSTS

INPUTS = ("codec", "frames", "ippp")
POLICIES = ("stratified", "readiness")
EVIDENCE = ("coded", "decoded")
ANCHORS = ("first", "key")
OPEN = ("quota", "t_max_s", "t_still_s", "max_pixels", "canvases_per_group", "source_frames")
"""What None leaves open."""
PRESETS: dict[str, dict[str, Any]] = {
    "activity": {},
    "published": {
        "cost": "bytes",
        "t_max_s": 6.0,
        "t_still_s": None,
        "evidence": "decoded",
        "anchor": "first",
        "max_pixels": 150_000,
        "canvases_per_group": 4,
        "source_frames": 0,
    },
}
"""Settings by name: what `preset` stands for, where a key is not given by itself. `activity`: the defaults, groups that follow what happens;
`published`: as the published system cuts and chooses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSettings:
    """How packets become groups of canvases. Raises `SettingsError` for a value out of range.

    Groups: bins of `bin_s` seconds, smoothed over `smooth` bins to each side; a group spans `t_min_s` to `t_max_s` seconds and
    closes when its `cost` (excess, bytes, log or complexity) reaches the quota. `quota` fixes it; None lets it follow `token_rate`,
    LLM tokens per second, timestamps counted: of activity where `t_still_s` is given, else of media time. `t_still_s`: span of groups
    of which nothing was active; activity is over when nothing was active for `calm_s`. A keyframe `scene_cut_ratio` times the running
    keyframe size counts with its excess (0: never). A step in time past `gap_s` is a discontinuity.

    Canvases: frames resized to at most `max_pixels`; one anchor and up to `canvases_per_group - 1` canvases of blocks, each of
    at most `source_frames` frames (0: as many as there are), taken from the costliest frame of each 1 / `analysis_fps` second
    by `policy`. None leaves a size, or `t_max_s`, to `stream.tokenizer.planner`. `evidence`: blocks are scored by what slice
    data tells (`coded`), or by motion, residual and bits with their weights (`decoded`). `anchor`: the `first` frame of a
    group, or a `key` frame, at which groups then begin where that costs nothing. A block is active when its luma residual
    stands `still_residual` levels over the frame's own noise; frames without an active block are not shown, and every
    `still_share` of a canvas that is active in a group earns it one more canvas.

    Input: `codec`, groups as told above; `ippp`, the same blocks in groups of one fixed span, so many seconds as their tokens are
    worth at `token_rate`; `frames`, whole frames at a steady rate (`stream.tokenizer.sampled_frames`), each taken `sample_phase` into
    its step, of whose settings the sizes count alone.

    `held_frames`: decoded pictures kept at full size while a group is open; older ones are kept at canvas size.
    """

    bin_s: float = 0.5
    t_min_s: float = 1.5
    t_max_s: float | None = None
    smooth: int = 1
    cost: str = "excess"
    quota: float | None = None
    t_still_s: float | None = 30.0
    calm_s: float = 2.0
    token_rate: float = 100.0
    scene_cut_ratio: float = 2.0
    gap_s: float = 2.0
    max_pixels: int | None = None
    canvases_per_group: int | None = None
    source_frames: int | None = None
    analysis_fps: float = 4.0
    policy: str = "stratified"
    evidence: str = "coded"
    anchor: str = "key"
    weight_motion: float = 1.0
    weight_residual: float = 1.0
    weight_bits: float = 0.0
    still_residual: float = 2.0
    still_share: float = 0.25
    held_frames: int = 40
    input: str = "codec"
    sample_phase: float = 0.5
    preset: str = "activity"

    @property
    def needs_effort(self) -> bool:
        """Whether slice data of every picture is asked for."""
        return self.cost == "excess" or self.evidence == "coded" or self.t_still_s is not None

    def __post_init__(self) -> None:
        for name, low in _LEAST.items():
            value = getattr(self, name)
            if value is None and name in OPEN:
                continue
            if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < low:
                raise SettingsError(f"tokenizer.{name}: expected a number of at least {low}, got {value!r}")
            if name in _WHOLE and value != int(value):
                raise SettingsError(f"tokenizer.{name}: expected a whole number, got {value!r}")
        for name, allowed in (
            ("input", INPUTS),
            ("cost", ("excess", *COSTS)),
            ("policy", POLICIES),
            ("evidence", EVIDENCE),
            ("anchor", ANCHORS),
        ):
            if getattr(self, name) not in allowed:
                raise SettingsError(f"tokenizer.{name}: expected one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if self.t_max_s is not None and self.t_max_s < self.t_min_s:
            raise SettingsError(f"tokenizer.t_max_s: expected at least t_min_s = {self.t_min_s}, got {self.t_max_s}")
        if not self.sample_phase < 1:
            raise SettingsError(f"tokenizer.sample_phase: expected a share of a step, 0 to below 1, got {self.sample_phase}")
        if not self.weight_motion + self.weight_residual > 0:
            raise SettingsError("tokenizer.weight_motion, weight_residual: expected a sum above zero, got 0")


_LEAST: dict[str, float] = {
    "bin_s": 0.02,
    "t_min_s": 0.0,
    "t_max_s": 0.02,
    "smooth": 0,
    "quota": 0.0,
    "t_still_s": 0.02,
    "calm_s": 0.0,
    "token_rate": 0.1,
    "scene_cut_ratio": 0.0,
    "gap_s": 0.05,
    "max_pixels": 784,
    "canvases_per_group": 1,
    "source_frames": 0,
    "analysis_fps": 0.1,
    "weight_motion": 0.0,
    "weight_residual": 0.0,
    "weight_bits": 0.0,
    "still_residual": 0.0,
    "still_share": 0.0,
    "held_frames": 1,
    "sample_phase": 0.0,
}
_WHOLE = {"smooth", "max_pixels", "canvases_per_group", "source_frames", "held_frames"}


def blind(settings: TokenizerSettings) -> TokenizerSettings:
    """Settings for a stream whose slice data cannot be read: what asks for it is as published, cut by the bytes of packets and the clock's
    token rate."""
    cost = "bytes" if settings.cost == "excess" else settings.cost
    return replace(settings, cost=cost, evidence="decoded", t_still_s=None)


def settings_from(mapping: Mapping[str, Any]) -> TokenizerSettings:
    """Settings from a mapping. Raises `SettingsError` for an unknown key (naming the nearest known one) or a bad value."""
    known = [field.name for field in fields(TokenizerSettings)]
    for key in mapping:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)[0]
            raise SettingsError(f"tokenizer.{key}: unknown setting; did you mean {nearest}?")
    given = dict(mapping)
    preset = given.pop("preset", None) or "activity"
    if preset not in PRESETS:
        raise SettingsError(f"tokenizer.preset: expected one of {', '.join(PRESETS)}, got {preset!r}")
    return TokenizerSettings(**{**PRESETS[preset], **given}, preset=preset)


def recorded_settings(recorded: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> TokenizerSettings:
    """Those of a recording, `given` ones in their place. Recordings that name no preset are older than presets: what they leave out was
    `published`. A preset that is given replaces all that presets say. Raises as `settings_from`."""
    given = given or {}
    kept = {key: value for key, value in recorded.items() if not ("preset" in given and key in PRESETS["published"])}
    return settings_from({"preset": "published", **kept, **given})

"""Shape of a model, as the released `config.json` writes it.

In: the dictionary of a config.json, or sizes by keyword for a new model. Out: `OV2Config`; unknown keys of a loaded file are
kept and written back. What this code cannot run (another architecture, scaled rotary angles) is refused when it is read.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ov2.canvas import MERGE, PATCH_PX
from ov2.errors import CheckpointError
from ov2.rope import SPLIT_PARTS

MODEL_TYPE = "llava_onevision2"
ARCHITECTURE = "LlavaOnevision2ForConditionalGeneration"


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """The encoder and its merger. `frame_windows_size`: consecutive canvases of one grid row that see each other."""

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    out_hidden_size: int = 4096
    patch_size: int = PATCH_PX
    spatial_merge_size: int = MERGE
    num_channels: int = 3
    frame_windows_size: int = 4
    rope_theta: float = 10_000.0
    layer_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads or self.head_size % (2 * SPLIT_PARTS):
            raise CheckpointError(
                f"vision_config: expected a head size that is a multiple of {2 * SPLIT_PARTS} (time, row and column share half "
                f"of it 4:6:6), got hidden_size {self.hidden_size} over {self.num_attention_heads} heads"
            )
        if (self.patch_size, self.spatial_merge_size) != (PATCH_PX, MERGE):
            raise CheckpointError(
                f"vision_config: expected patch_size {PATCH_PX} and spatial_merge_size {MERGE}, "
                f"got {self.patch_size} and {self.spatial_merge_size}"
            )

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """The Qwen3 language model."""

    vocab_size: int = 151_936
    hidden_size: int = 4096
    intermediate_size: int = 12_288
    num_hidden_layers: int = 36
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    head_dim: int = 128
    max_position_embeddings: int = 40_960
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1_000_000.0
    attention_bias: bool = False
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads:
            raise CheckpointError(
                f"text_config: expected num_attention_heads to be a multiple of num_key_value_heads, "
                f"got {self.num_attention_heads} and {self.num_key_value_heads}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class OV2Config:
    """A whole model: two halves, the tokens that tie them, and the file it was read from (`raw`, written back on save)."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    image_token_id: int = 151_655
    video_token_id: int = 151_656
    vision_start_token_id: int = 151_652
    vision_end_token_id: int = 151_653
    tie_word_embeddings: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.vision.out_hidden_size != self.text.hidden_size:
            raise CheckpointError(
                f"config: expected vision_config.out_hidden_size to equal text_config.hidden_size, "
                f"got {self.vision.out_hidden_size} and {self.text.hidden_size}"
            )

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> OV2Config:
        """Read a config.json. Raises `CheckpointError` for another layout."""
        if raw.get("model_type") != MODEL_TYPE:
            raise CheckpointError(f"config.json: expected model_type {MODEL_TYPE}, got {raw.get('model_type')}")
        text, vision = raw.get("text_config"), raw.get("vision_config")
        if not isinstance(text, Mapping) or not isinstance(vision, Mapping):
            raise CheckpointError("config.json: expected text_config and vision_config, got a file without them")
        _refuse_unsupported(text, vision)
        text = {**text, "rope_theta": _rope_theta(text)}
        tokens = {name: int(raw[name]) for name in _TOKEN_KEYS if raw.get(name) is not None}
        tied = bool(raw.get("tie_word_embeddings", text.get("tie_word_embeddings", False)))
        return cls(
            vision=_pick(VisionConfig, "vision_config", vision),
            text=_pick(TextConfig, "text_config", text),
            tie_word_embeddings=tied,
            raw=copy.deepcopy(dict(raw)),
            **tokens,
        )

    def to_dict(self) -> dict[str, Any]:
        """The config.json of this model: what was read, with the sizes of this object."""
        raw = copy.deepcopy(dict(self.raw))
        theta = self.text.rope_theta
        text = {"model_type": "qwen3", "hidden_act": "silu", **raw.get("text_config", {}), **_fields(self.text)}
        del text["rope_theta"]
        text["rope_parameters"] = {"rope_type": "default", **(text.get("rope_parameters") or {}), "rope_theta": theta}
        if "rope_theta" in raw.get("text_config", {}):
            text["rope_theta"] = theta
        text["tie_word_embeddings"] = self.tie_word_embeddings
        fixed = {"model_type": "onevision_encoder", "hidden_act": "gelu", "layer_norm_type": "layer_norm", "use_head": False}
        vision = {**fixed, **raw.get("vision_config", {}), **_fields(self.vision)}
        return {
            "architectures": [ARCHITECTURE],
            "model_type": MODEL_TYPE,
            **raw,
            **{name: getattr(self, name) for name in _TOKEN_KEYS},
            "tie_word_embeddings": self.tie_word_embeddings,
            "text_config": text,
            "vision_config": vision,
        }


_TOKEN_KEYS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
_TEXT_FIXED: dict[str, tuple[Any, ...]] = {"hidden_act": ("silu",), "use_sliding_window": (False, None)}
_VISION_FIXED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("gelu",),
    "layer_norm_type": ("layer_norm",),
    "use_head": (False, None),
}


def _fields(config: VisionConfig | TextConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


Half = TypeVar("Half", VisionConfig, TextConfig)


def _pick(kind: type[Half], part: str, raw: Mapping[str, Any]) -> Half:
    """Read the fields that the dataclass knows, as the types of their defaults."""
    values = {}
    for name, spec in kind.__dataclass_fields__.items():
        if raw.get(name) is None:
            continue
        expected: type[Any] = type(spec.default)
        number = isinstance(raw[name], (int, float))
        if not number or (expected is not bool and raw[name] <= 0):
            raise CheckpointError(f"config.json: expected {part}.{name} to be {expected.__name__} above 0, got {raw[name]!r}")
        values[name] = expected(raw[name])
    return kind(**values)


def _rope_theta(text: Mapping[str, Any]) -> float:
    """The base of the rotary angles: in `rope_parameters`, or at the top in older files."""
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise CheckpointError(f"text_config: expected plain rotary angles (rope_type default), got {kind}")
    return float(rope.get("rope_theta") or text.get("rope_theta") or TextConfig().rope_theta)


def _refuse_unsupported(text: Mapping[str, Any], vision: Mapping[str, Any]) -> None:
    for part, raw, fixed in (("text_config", text, _TEXT_FIXED), ("vision_config", vision, _VISION_FIXED)):
        for name, allowed in fixed.items():
            if name in raw and raw[name] not in allowed:
                raise CheckpointError(f"config.json: expected {part}.{name} {allowed[0]}, got {raw[name]}")

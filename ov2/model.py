"""The OV-2 model: vision tower, merger and Qwen3, with the released weight keys.

In: patches, token ids. Out: vision tokens, hidden states, logits. One object serves and trains: `language` runs a whole
sequence under a mask, a session passes its own attention over pages to `run_language`.

Shape letters: P patches, X values of a patch, G rows of the grid, V vision tokens, T tokens, D width of the language model,
W vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ov2.attention import TreeMask, attend_to
from ov2.checkpoint import find, read_config, read_normalisation, read_weights, save, stream_settings
from ov2.config import OV2Config
from ov2.errors import CheckpointError
from ov2.language import Attend, LanguageModel
from ov2.pixels import CLIP_MEAN, CLIP_STD
from ov2.text import TextTokenizer
from ov2.vision import VisionTower
from ov2.weights import WeightType, quantise_weights


class _Halves(nn.Module):
    """The two halves under the released key prefix `model.`."""

    def __init__(self, config: OV2Config) -> None:
        super().__init__()
        self.language_model = LanguageModel(config.text)
        self.visual = VisionTower(config.vision)


class OV2Model(nn.Module):
    """A LLaVA-OneVision-2 model.

    `OV2Model(config)` starts from random weights. `stream_settings` is what `stream.json` of its folder says (the tokenizer
    settings and limits it was trained with), `folder` where it was loaded from, `normalisation` the mean and deviation of its
    RGB pixels.
    """

    def __init__(self, config: OV2Config) -> None:
        super().__init__()
        self.config = config
        self.stream_settings: dict[str, Any] = {}
        self.folder: Path | None = None
        self.normalisation = (CLIP_MEAN, CLIP_STD)
        self.model = _Halves(config)
        self.lm_head: nn.Linear | None = None
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)
        self._start()

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        dtype: torch.dtype | str = torch.float32,
        device: torch.device | str = "cpu",
        weights: WeightType = "model",
    ) -> OV2Model:
        """Load a folder of the released layout, or a bundled checkpoint by name (`ov2-nano`), ready to answer. `weights`: `int8` or `int4`
        quantise the language model's linear layers, which then cannot be trained or saved.

        Raises `CheckpointError` when the folder is missing, damaged or of another layout.
        """
        folder, dtype, device = find(path), getattr(torch, dtype) if isinstance(dtype, str) else dtype, torch.device(device)
        config = read_config(folder)
        with torch.device("meta"):
            model = cls(config)
        wanted = {name: parameter.shape for name, parameter in model.state_dict().items()}
        model.load_state_dict(read_weights(folder, config, wanted, dtype=dtype, device=device), assign=True)
        model.model.language_model.make_angles(device)
        model.requires_grad_(requires_grad=True).eval()
        model.folder, model.stream_settings = folder, stream_settings(folder)
        model.normalisation = read_normalisation(folder)
        quantise_weights(model.model.language_model, weights, model.device.type)
        return model

    def save_pretrained(self, path: str | Path) -> None:
        """Write the released layout, with the tokenizer files of the folder it was loaded from."""
        save(
            Path(path),
            config={**self.config.to_dict(), "dtype": str(self.dtype).removeprefix("torch.")},
            weights=self.state_dict(),
            normalisation=self.normalisation,
            stream_settings=self.stream_settings,
            source=self.folder,
        )

    @property
    def device(self) -> torch.device:
        return self.model.language_model.embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.language_model.embed_tokens.weight.dtype

    @property
    def max_positions(self) -> int:
        """Positions it was trained on."""
        return int(self.stream_settings.get("max_positions", self.config.text.max_position_embeddings))

    @property
    def max_timestamp_s(self) -> float:
        """Largest timestamp it was trained on, seconds; infinite when the folder does not say."""
        return float(self.stream_settings.get("max_timestamp_s", "inf"))

    def tokenizer(self, text: TextTokenizer | None = None) -> TextTokenizer:
        """The given tokenizer, or the one of the model's folder. Raises `CheckpointError` when they do not belong together."""
        if text is None:
            if self.folder is None:
                raise CheckpointError("tokenizer: expected `text`, or a model loaded from a folder with one, got neither")
            text = TextTokenizer.from_folder(self.folder)
        if text.image_pad != self.config.image_token_id:
            raise CheckpointError(
                f"tokenizer: expected the image token to be {self.config.image_token_id} as in config.json, "
                f"got {text.image_pad}; tokenizer and model belong to different checkpoints"
            )
        return text

    def vision_tokens(self, pixel_values: Tensor, image_grid_thw: Tensor, patch_positions: Tensor) -> Tensor:
        """Vision tokens [V, D] of patches [P, X] in block layout, canvases [G, 3] = (number, rows, columns in patches) and
        source positions [P, 3] = (t, row, column). Any number of groups at once: each row of the grid attends to itself, in
        windows of `frame_windows_size` canvases."""
        tokens: Tensor = self.model.visual(
            pixel_values.to(self.device, self.dtype), image_grid_thw, patch_positions.to(self.device)
        )
        return tokens

    def embed(self, input_ids: Tensor, vision_tokens: Tensor | None = None) -> Tensor:
        """Embedded tokens [T, D]; the vision tokens [V, D] stand where `input_ids` [T] is the image token, in order."""
        x_TD: Tensor = self.model.language_model.embed_tokens(input_ids)
        places_T = input_ids == self.config.image_token_id
        given = 0 if vision_tokens is None else vision_tokens.shape[0]
        wanted = int(places_T.sum())
        if wanted != given:
            raise ValueError(f"vision tokens: expected one for each of {wanted} image tokens, got {given}")
        if vision_tokens is None or not wanted:
            return x_TD
        return x_TD.masked_scatter(places_T[:, None], vision_tokens.to(x_TD.dtype))

    def run_language(self, x_TD: Tensor, positions_T: Tensor, attend: Attend) -> Tensor:
        """Hidden states [T, D] under an attention of the caller's."""
        hidden: Tensor = self.model.language_model(x_TD, positions_T, attend)
        return hidden

    def language(self, x_TD: Tensor, positions_T: Tensor | None = None, mask: Tensor | TreeMask | None = None) -> Tensor:
        """Hidden states [T, D] of one sequence: causal, or under a mask [T, T] (bool or additive), or a `TreeMask`."""
        if positions_T is None:
            positions_T = torch.arange(x_TD.shape[0], device=x_TD.device)
        return self.run_language(x_TD, positions_T, attend_to(mask))

    def head(self, hidden: Tensor) -> Tensor:
        """Logits [..., W] of hidden states [..., D]."""
        if self.lm_head is None:
            return linear(hidden, self.model.language_model.embed_tokens.weight)
        logits: Tensor = self.lm_head(hidden)
        return logits

    def logits(self, input_ids: Tensor, vision_tokens: Tensor | None = None) -> Tensor:
        """Logits [T, W] of token ids [T] at positions 0..T-1, causal."""
        return self.head(self.language(self.embed(input_ids.to(self.device), vision_tokens)))

    def _start(self) -> None:
        """Random weights: normal with the config's deviation; layers that write to the residual stream start smaller."""
        text, vision = self.config.text, self.config.vision
        for name, parameter in self.named_parameters():
            if parameter.is_meta or parameter.dim() < 2:
                if name.endswith("bias") and not parameter.is_meta:
                    nn.init.zeros_(parameter)
                continue
            std = text.initializer_range
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                std /= (2 * text.num_hidden_layers) ** 0.5
            elif name.endswith(("self_attn.proj.weight", "fc2.weight")):
                std /= (2 * vision.num_hidden_layers) ** 0.5
            nn.init.normal_(parameter, std=std)

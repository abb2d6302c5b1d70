"""Model folders of the released layout: config.json, safetensors (one file, or shards with an index), preprocessor and tokenizer files.

In: a folder, or the name of a bundled one. Out: an `OV2Model`, and back. Whatever is wrong with a folder is a
`CheckpointError` that says what was expected and what came.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ov2.config import OV2Config
from ov2.errors import CheckpointError
from ov2.model import OV2Model
from ov2.pixels import CLIP_MEAN, CLIP_STD

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PREPROCESSOR = "preprocessor_config.json"
STREAM = "stream.json"
"""Tokenizer settings and limits that the checkpoint was trained with; ours, absent from released folders."""
MEAN, STD = "image_mean", "image_std"
"""Keys of the preprocessor's file, as transformers names them."""
COPIED = {".json", ".txt", ".jinja", ".npz"}
"""Small files that travel with the weights: tokenizer, chat template, and the memory that `memory` in stream.json speaks of."""
Rgb = tuple[float, float, float]
BUNDLED = Path(__file__).parent / "checkpoints"
NAMED_KEYS = 4
"""Keys named in an error before the rest are only counted."""


def find(path: str | Path) -> Path:
    """The folder of a checkpoint: a path, or the name of a bundled one."""
    folder = Path(path)
    if folder.is_dir():
        return folder
    if len(folder.parts) == 1 and (BUNDLED / folder).is_dir():
        return BUNDLED / folder
    names = ", ".join(sorted(entry.name for entry in BUNDLED.glob("*") if entry.is_dir())) or "none"
    raise CheckpointError(f"model {path}: expected a folder or a bundled checkpoint ({names}), found neither; set `model`")


def load(path: str | Path, *, dtype: torch.dtype, device: torch.device) -> OV2Model:
    """Load a checkpoint in evaluation mode."""
    folder = find(path)
    config = OV2Config.from_dict(read_json(folder / CONFIG))
    with torch.device("meta"):
        model = OV2Model(config)
    wanted = {name: parameter.shape for name, parameter in model.state_dict().items()}
    weights: dict[str, Tensor] = {}
    for file in _weight_files(folder):
        for name, tensor in _tensors(file, device):
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue
            if name in wanted and tensor.shape != wanted[name]:
                raise CheckpointError(
                    f"{file}: expected {name} of shape {list(wanted[name])}, got {list(tensor.shape)}; "
                    f"weights and {CONFIG} belong to different models"
                )
            weights[name] = tensor.to(dtype)
    _require_same_keys(folder, wanted.keys(), weights.keys())
    model.load_state_dict(weights, assign=True)
    model.model.language_model.make_angles(device)
    model.requires_grad_(requires_grad=True)
    model.folder = folder
    model.stream_settings = stream_settings(folder)
    model.normalisation = _normalisation(folder)
    return model.eval()


def _normalisation(folder: Path) -> tuple[Rgb, Rgb]:
    """Mean and deviation of its pixels, as its preprocessor says; the released ones where it does not."""
    file = folder / PREPROCESSOR
    said = read_json(file) if file.exists() else {}
    found = []
    for key, released in ((MEAN, CLIP_MEAN), (STD, CLIP_STD)):
        values = said.get(key) or released
        if not (
            isinstance(values, list | tuple)
            and len(values) == len(released)
            and all(isinstance(v, int | float) for v in values)
        ):
            raise CheckpointError(f"{file}: expected {key} to be three numbers, got {values}")
        found.append((values[0], values[1], values[2]))
    return found[0], found[1]


def stream_settings(path: str | Path) -> dict[str, Any]:
    """What the checkpoint's `stream.json` says; nothing for a released folder."""
    file = find(path) / STREAM
    return read_json(file) if file.exists() else {}


def save(model: OV2Model, folder: Path) -> None:
    """Write config.json, model.safetensors, preprocessor_config.json, stream.json, and copies of the other small files of the model's
    own folder. The weights come in one rename: whoever reads meanwhile, or after a crash, has the old ones or the new."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {**model.config.to_dict(), "dtype": str(model.dtype).removeprefix("torch.")}
    write_json(folder / CONFIG, config)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    partial = folder / f"{WEIGHTS}.partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.replace(folder / WEIGHTS)
    _save_preprocessor(model, folder)
    if model.stream_settings:
        write_json(folder / STREAM, model.stream_settings)
    if model.folder is None or model.folder.resolve() == folder.resolve():
        return
    for file in model.folder.iterdir():
        if file.suffix in COPIED and file.name not in {CONFIG, INDEX, STREAM, PREPROCESSOR}:
            shutil.copyfile(file, folder / file.name)


def _save_preprocessor(model: OV2Model, folder: Path) -> None:
    """The normalisation in force, beside whatever else the model's own preprocessor says."""
    own = model.folder / PREPROCESSOR if model.folder is not None else None
    kept = read_json(own) if own is not None and own.exists() else {}
    mean, std = model.normalisation
    write_json(folder / PREPROCESSOR, {**kept, MEAN: list(mean), STD: list(std)})


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object. Raises `CheckpointError` when the file is missing or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{file.parent}: expected a file {file.name}, found none") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: expected JSON, got a file that does not read as such ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: expected a JSON object, got {type(content).__name__}")
    return content


def write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files: all that the index names, or the single one."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        raise CheckpointError(f"{folder}: expected {WEIGHTS} or {INDEX}, found neither")
    weight_map = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{folder / INDEX}: expected a weight_map, got a file without one")
    files = [folder / name for name in sorted(set(weight_map.values()))]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise CheckpointError(f"{folder}: expected the {len(files)} shards that {INDEX} names, missing {_named(absent)}")
    return files


def _tensors(file: Path, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt", device=str(device)) as content:
            for name in content.keys():  # noqa: SIM118 (not a mapping)
                yield name, content.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: expected safetensors, got a damaged or truncated file ({error})") from error


def _require_same_keys(folder: Path, wanted: Iterator[str] | Any, got: Iterator[str] | Any) -> None:
    missing, extra = sorted(set(wanted) - set(got)), sorted(set(got) - set(wanted))
    if missing:
        raise CheckpointError(
            f"{folder}: expected {len(set(wanted))} weights of the released layout, missing {_named(missing)}"
        )
    if extra:
        raise CheckpointError(f"{folder}: expected the released layout alone, got unknown weights {_named(extra)}")


def _named(names: list[str]) -> str:
    rest = f" and {len(names) - NAMED_KEYS} more" if len(names) > NAMED_KEYS else ""
    return ", ".join(names[:NAMED_KEYS]) + rest

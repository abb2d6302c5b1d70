"""Settings from outside the file: `OV2_...` variables and `{NAME}` placeholders.

In: the parsed YAML, the environment, the folder of mounted secrets, the settings classes. Out: the document with both applied.

`OV2_CAMERAS_FRONT_URL` sets `cameras.front.url`; `OV2_SERVER_PORT` sets `server.port`. A camera's name is matched without
regard to case and with `-` written as `_`; a name that the file does not have makes a new camera, in lower case.
"""

from __future__ import annotations

import difflib
import logging
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stream.config import strict_yaml
from stream.config.strict_yaml import shown
from stream.errors import SettingsError

PREFIX = "OV2_"
PLACEHOLDER = re.compile(r"\{([A-Z][A-Z0-9_]*)\}")
LONGEST_NAME = 512
"""Of a variable that can name a setting."""
LONGEST_SECRET_BYTES = 64 << 10

KeyPath = tuple[str, ...]
"""Keys that lead to a setting."""

log = logging.getLogger(__name__)


def child_model(annotation: Any) -> type[BaseModel] | None:
    """The settings class that an annotation holds: `M`, `M | None`, or the values of `dict[str, M]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) is dict:
        return child_model(typing.get_args(annotation)[1])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        found = [child_model(part) for part in typing.get_args(annotation)]
        return next((model for model in found if model), None)
    return None


def is_model_map(annotation: Any) -> bool:
    """Whether an annotation is a map of names to settings."""
    return typing.get_origin(annotation) is dict and child_model(annotation) is not None


def override(
    document: dict[str, Any], environ: Mapping[str, str], root: type[BaseModel], origins: dict[KeyPath, str]
) -> dict[str, Any]:
    """`document` with every `OV2_...` variable that names a setting applied, and noted in `origins`, where what it replaces is forgotten.
    Others are warned about and left alone. Raises `SettingsError` for a value that is meant as a map or list and is none."""
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        rest = variable.removeprefix(PREFIX)
        path = next(_paths(rest, root, document), None) if len(variable) <= LONGEST_NAME else None
        if path is None:
            known = [PREFIX + "_".join(keys).upper() for keys in _leaves(root)]
            close = difflib.get_close_matches(variable[:LONGEST_NAME], known, n=1, cutoff=0.4)
            log.warning("%s: names no setting%s; ignored", shown(variable), f", nearest: {close[0]}" if close else "")
            continue
        document = _with(document, path, _value(variable, environ[variable]))
        for replaced in [each for each in origins if each[: len(path)] == tuple(path)]:
            del origins[replaced]
        origins[tuple(path)] = variable
    return document


def fill_placeholders(value: Any, environ: Mapping[str, str], secrets: Path, path: KeyPath = ()) -> Any:
    """`value` with every `{NAME}` in its texts replaced from the environment, or from the file NAME (or name) in `secrets`.

    Raises `SettingsError`, which names the setting, when neither has it."""
    if isinstance(value, dict):
        return {key: fill_placeholders(item, environ, secrets, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_placeholders(item, environ, secrets, (*path, str(index))) for index, item in enumerate(value)]
    if isinstance(value, str):
        return PLACEHOLDER.sub(lambda found: _look_up(found[1], environ, secrets, path), value)
    return value


def _look_up(name: str, environ: Mapping[str, str], secrets: Path, path: KeyPath) -> str:
    if name in environ:
        return environ[name]
    setting = shown(".".join(path), 200)
    for candidate in (secrets / name, secrets / name.lower()):
        try:
            if candidate.is_file():
                with candidate.open("rb") as file:
                    data = file.read(LONGEST_SECRET_BYTES + 1)
                if len(data) > LONGEST_SECRET_BYTES:
                    raise SettingsError(f"{setting}: expected at most {LONGEST_SECRET_BYTES} bytes in {candidate}, got more")
                return data.decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"{setting}: expected text that can be read in {candidate}, got {type(error).__name__}"
            ) from None
    raise SettingsError(f"{setting}: placeholder {{{name}}}: expected {name} in the environment or in {secrets}, got neither")


def _paths(rest: str, model: type[BaseModel], document: Any) -> Iterator[list[str]]:
    """Every way to read `rest` as a path of keys, the longest known key first."""
    here = document if isinstance(document, Mapping) else {}
    for key in sorted(model.model_fields, key=len, reverse=True):
        tail = _after(rest, key)
        if tail is None:
            continue
        if not tail:
            yield [key]
            continue
        child = child_model(model.model_fields[key].annotation)
        if child is None:
            continue
        inside = here.get(key)
        if not is_model_map(model.model_fields[key].annotation):
            yield from ([key, *path] for path in _paths(tail, child, inside))
            continue
        for name, tail_of_name in _names(tail, inside):
            if tail_of_name:
                yield from ([key, name, *path] for path in _paths(tail_of_name, child, None))


def _names(rest: str, entries: Any) -> Iterator[tuple[str, str]]:
    known = sorted((str(name) for name in (entries if isinstance(entries, Mapping) else ())), key=len, reverse=True)
    for name in known:
        tail = _after(rest, name.replace("-", "_"))
        if tail is not None:
            yield name, tail
    for cut in [found.start() for found in re.finditer("_", rest)]:
        yield rest[:cut].lower(), rest[cut + 1 :]


def _after(rest: str, key: str) -> str | None:
    upper = key.upper()
    if rest == upper:
        return ""
    return rest[len(upper) + 1 :] if rest.startswith(upper + "_") else None


def _with(document: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    head, *tail = path
    if not tail:
        return {**document, head: value}
    inside = document.get(head)
    return {**document, head: _with(inside if isinstance(inside, dict) else {}, tail, value)}


def _value(variable: str, text: str) -> Any:
    """Maps and lists are written as YAML; everything else is text, which the settings class reads."""
    if not text.lstrip().startswith(("{", "[")) or PLACEHOLDER.match(text):
        return text
    return strict_yaml.read(text, variable).value


def _leaves(model: type[BaseModel]) -> Iterator[list[str]]:
    for key, field in model.model_fields.items():
        child = child_model(field.annotation)
        if child is None:
            yield [key]
        else:
            middle = ["name"] if is_model_map(field.annotation) else []
            yield from ([key, *middle, *path] for path in _leaves(child))

"""What every section of the configuration file keeps to.

In: nothing. Out: `Section`: unknown keys are refused, values never shown, numbers are numbers and finite, texts are UTF-8 without NUL.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

LONGEST_S = 86_400.0
"""A day: the longest interval or timeout that is no mistake."""
LONGEST_DAYS = 36_500.0


class Section(BaseModel):
    """Frozen, and validated by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        """What pydantic would take for something else: true for 1, and a text that no file can be named with."""
        if isinstance(value, bool):
            kinds = set(_parts(cls.model_fields[info.field_name or ""].annotation))
            if kinds & {int, float} and bool not in kinds:
                raise ValueError("expected a number")
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for text in _texts(value) for char in text):
            raise ValueError("expected text without NUL and lone surrogates")
        return value


def _parts(annotation: Any) -> Iterator[Any]:
    """The types of a union, or the one."""
    members = typing.get_args(annotation)
    if type(None) in members or typing.get_origin(annotation) is typing.Union:
        for member in members:
            yield from _parts(member)
    else:
        yield annotation


def _texts(value: Any) -> Iterator[str]:
    """A text, or those of a list or map."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        yield from (each for each in value if isinstance(each, str))
    elif isinstance(value, dict):
        yield from (each for each in value.values() if isinstance(each, str))

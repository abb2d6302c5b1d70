"""The tokenizer's and the session's settings as optional keys of the configuration file.

In: the two settings dataclasses. Out: settings classes with the same keys and types, all of them optional: what is left out
comes from the checkpoint (`stream.json`: what it was trained with), then from the dataclass's own default.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from pydantic import create_model

from ov2.session_settings import SessionSettings
from stream.section import Section
from stream.tokenizer.settings import TokenizerSettings


class Overrides(Section):
    """Keys of another settings class. `given` holds those that were set."""

    @property
    def given(self) -> dict[str, Any]:
        return {name: value for name, value in self.model_dump(exclude_unset=True).items() if value is not None}


def _optional(name: str, settings: type[Any]) -> type[Overrides]:
    hints = typing.get_type_hints(settings)
    fields: dict[str, Any] = {field.name: (hints[field.name] | None, None) for field in dataclasses.fields(settings)}
    return create_model(
        name, __base__=Overrides, __doc__=f"Keys of {settings.__name__}; unset ones are the checkpoint's.", **fields
    )


TokenizerOverrides: Any = _optional("TokenizerOverrides", TokenizerSettings)
SessionOverrides: Any = _optional("SessionOverrides", SessionSettings)

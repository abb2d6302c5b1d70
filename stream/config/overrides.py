"""The tokenizer's and the session's settings as optional keys of the configuration file.

In: the two settings dataclasses. Out: settings classes with the same keys and types, all of them optional: what is left out
comes from the checkpoint (`stream.json`: what it was trained with), then from the dataclass's own default.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, ClassVar

from pydantic import create_model

from ov2.session_settings import SessionSettings
from stream.section import Section
from stream.tokenizer.settings import TokenizerSettings


class Overrides(Section):
    """Keys of another settings class. `given` holds those that were set; null says something where the other class knows it."""

    _NULLABLE: ClassVar[frozenset[str]] = frozenset()

    @property
    def given(self) -> dict[str, Any]:
        told = self.model_dump(exclude_unset=True)
        return {name: value for name, value in told.items() if value is not None or name in self._NULLABLE}


def _optional(name: str, settings: type[Any]) -> type[Overrides]:
    hints = typing.get_type_hints(settings)
    fields: dict[str, Any] = {field.name: (hints[field.name] | None, None) for field in dataclasses.fields(settings)}
    made: type[Overrides] = create_model(
        name, __base__=Overrides, __doc__=f"Keys of {settings.__name__}; unset ones are the checkpoint's.", **fields
    )
    made._NULLABLE = frozenset(name for name, hint in hints.items() if type(None) in typing.get_args(hint))
    return made


TokenizerOverrides: Any = _optional("TokenizerOverrides", TokenizerSettings)
SessionOverrides: Any = _optional("SessionOverrides", SessionSettings)

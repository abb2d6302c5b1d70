"""What counts as a number where one is wanted, in JSON, YAML and the environment.

In: whatever came. Out: pydantic types. JSON's `true` would pass as 1 and `Infinity` as a duration without them; text that reads as a number
stays welcome, because the environment has nothing else.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"expected a number, got {str(value).lower()}")
    return value


Real = Annotated[float, BeforeValidator(_no_boolean), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_no_boolean)]

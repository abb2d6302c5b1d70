"""Functions compiled to machine code by numba, with types kept and the product cached on disk.

In: a plain function over flat arrays. Out: the same, compiled on first call, running without the interpreter lock, so that
the threads of several cameras overlap. `warm_up` of the modules that use it compiles everything ahead of the first packet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Decorate a function whose loops matter. No fast-math: results are the same bits on every machine."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))

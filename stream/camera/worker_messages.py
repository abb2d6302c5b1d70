"""What a worker and its owner say to each other.

In: nothing. Out: the owner's requests and the worker's replies over the socket of a camera; numbers over that of the worker.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from stream.camera.tokenizing import TokenizerFigures

READY = b"\1"
"""A worker has started."""
NUMBER = struct.Struct("!I")
"""Of a camera that is new, from one; beside it comes its socket."""


class Request(NamedTuple):
    """A method of `LocalTokenizer`, by name, and its arguments."""

    method: str
    arguments: tuple[Any, ...] = ()


class Reply(NamedTuple):
    """`figures`: None where they are nearly as before. `fault`: where an error of ours was raised; `result` is None then."""

    result: Any = None
    figures: TokenizerFigures | None = None
    fault: str = ""

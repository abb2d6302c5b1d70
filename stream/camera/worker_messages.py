"""What a worker and its owner say to each other.

In: nothing. Out: the owner's requests and the worker's replies over the socket of a camera; bytes over that of the worker.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from stream.camera.tokenizing import TokenizerFigures

READY = b"\1"
"""A worker has started."""
NEW_CAMERA = b"\0"
"""Beside it comes the camera's socket."""


class Request(NamedTuple):
    """A method of `LocalTokenizer`, by name, and its arguments."""

    method: str
    arguments: tuple[Any, ...] = ()


class Reply(NamedTuple):
    """`figures`: None where they are nearly as before. `fault`: where an error of ours was raised; `result` is None then."""

    result: Any = None
    figures: TokenizerFigures | None = None
    fault: str = ""

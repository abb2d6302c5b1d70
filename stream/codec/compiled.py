"""Functions compiled to machine code by numba, with types kept and the product cached on disk.

In: a plain function over flat arrays. Out: the same, compiled on first call, running without the interpreter lock, so that
the threads of several cameras overlap. `warm_up` of the modules that use it compiles everything ahead of the first packet.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_SOURCES = ("codec", "tokenizer")
"""The parts of this package whose code is compiled."""


def _use_own_cache() -> None:
    """Numba asks whether the file of a function has changed, but not the files of what it calls, whose code it takes in. So every state of
    the sources gets a folder of its own; where that cannot be written, Numba's own choice stands."""
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    digest = hashlib.sha256()
    for part in _SOURCES:
        for path in sorted((Path(__file__).parents[1] / part).rglob("*.py")):
            digest.update(path.read_bytes())
    folder = Path(__file__).parent / "__pycache__" / f"numba-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]


_use_own_cache()
Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Decorate a function whose loops matter. No fast-math: results are the same bits on every machine."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def lean(function: Function) -> Function:
    """The same for functions that make no arrays. Nothing in them counts references, which is what makes calls among them cheap: an
    array that goes through ten small functions is otherwise counted, atomically, ten times."""
    options: dict[str, Any] = {"_nrt": False}
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function))


def inlined(function: Function) -> Function:
    """The same for parts of an inner loop: LLVM puts them where they are called, whatever their size, so that numbers stay in registers."""
    options: dict[str, Any] = {"_nrt": False, "forceinline": True}
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function))


@intrinsic
def leading_zeros_of(_context, value):  # type: ignore[no-untyped-def]
    """Zeros in front of the first one of a number of 64 bits that is not zero, by the machine's own instruction."""
    if value not in (types.int64, types.uint64):
        return None

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctlz(arguments[0], context.get_constant(types.boolean, True))

    return value(value), generate


@intrinsic
def trailing_zeros_of(_context, value):  # type: ignore[no-untyped-def]
    """The same behind the last one."""
    if value not in (types.int64, types.uint64):
        return None

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

    return value(value), generate


@intrinsic
def chosen(_context, condition, yes, no):  # type: ignore[no-untyped-def]
    """`yes if condition else no` of two uint64 without a branch: for conditions that nobody can foresee."""
    if not isinstance(condition, types.Boolean) or not yes == no == types.uint64:
        return None

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        picked = builder.select(*arguments)
        picked.set_metadata("unpredictable", builder.module.add_metadata([]))
        return picked

    return types.uint64(condition, yes, no), generate


@intrinsic
def rarely(_context, condition):  # type: ignore[no-untyped-def]
    """A condition that is nearly always false: LLVM keeps what the rest of a loop needs in registers, and lets the rare case wait."""
    if not isinstance(condition, types.Boolean):
        return None

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        bit = ir.IntType(1)
        expect = builder.module.declare_intrinsic("llvm.expect", [bit], ir.FunctionType(bit, [bit, bit]))
        return builder.call(expect, [arguments[0], bit(0)])

    return types.boolean(condition), generate


@intrinsic
def _bare_pointer(_context, array):  # type: ignore[no-untyped-def]
    """Where an array's numbers begin."""
    if not isinstance(array, types.Array):
        return None

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate  # type: ignore[no-untyped-call]


@intrinsic
def _prefetch(_context, array, index):  # type: ignore[no-untyped-def]
    """Have the cache line of `array[index]` brought near while other work goes on. A hint: it reads nothing, wherever `index` points."""
    if not isinstance(array, types.Array):
        return None

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        array_type, _ = signature.args
        data = builder.bitcast(context.make_array(array_type)(context, builder, arguments[0]).data, ir.IntType(8).as_pointer())
        size = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
        place = builder.gep(data, [builder.mul(arguments[1], ir.Constant(arguments[1].type, size))])
        word = ir.IntType(32)
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch.p0i8", fnty=ir.FunctionType(ir.VoidType(), [place.type, word, word, word])
        )
        builder.call(hint, [place, word(0), word(3), word(1)])  # to be read, into the nearest cache, data
        return context.get_dummy_value()

    return types.none(array, index), generate


prefetch: Any = _prefetch


@lean
def _array_itself(array: np.ndarray) -> np.ndarray:
    return array


pointer_to: Any = _array_itself if os.environ.get("NUMBA_BOUNDSCHECK") else _bare_pointer
"""An array's numbers without the array, for compiled functions that index it and no more; where bounds are checked, the array."""

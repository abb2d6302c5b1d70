"""What a failure costs: the one whose work raised, or the device.

In: exceptions of the work of questions, statements and groups. Out: the error that its caller gets; or a `DeviceError`, after which
the engine begins again. The device is unusable when

- CUDA has failed in a way that every later call repeats: an error of `STICKY_CUDA_ERRORS`, or a synchronisation afterwards that raises;
- the pool is corrupt (`PoolError`): pages have fewer holders than are known, so that somebody may have written over them;
- the scheduler raised outside of anybody's work: what it keeps may be half done.

Memory that runs out is neither: the scheduler tries again with less.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import torch

from ov2.errors import DeviceError, OV2Error, PoolError, RequestError
from ov2.log_limit import LogLimit

STICKY_CUDA_ERRORS = frozenset({214, 220, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721})
"""cudaError_t (driver_types.h) of which the CUDA runtime says that the process must be ended to use the device again, and memory errors
of the hardware: ECC, NVLink, illegal address, timeout, destroyed context, assert, stack, instruction, alignment, address space,
program counter, launch failure, tensor memory."""
NO_MEMORY = "can't allocate memory"
"""What PyTorch's allocator for CPUs says; on CUDA the error has a type of its own."""


log = logging.getLogger(__name__)


class Barrier:
    """`is_suspect`: something raised that nobody expects, since the pool was last compared with who holds its pages."""

    def __init__(self, device: torch.device) -> None:
        self.is_suspect = False
        self._device = device
        self._num_logged: Counter[tuple[str, type[Exception]]] = Counter()
        self._log_limit = LogLimit()

    def guard(self, what: str, work: Callable[[], None], failed: Callable[[Exception], None]) -> None:
        """Do what one question, statement or group needs; what it raises goes to `failed`. Raises `DeviceError`."""
        try:
            work()
        except Exception as error:  # noqa: BLE001  whatever it was, it belongs to the one whose work it is
            failed(self.contain(error, what))

    def contain(self, error: Exception, what: str) -> OV2Error:
        """The error that its caller gets: errors of ours as they are, others as a `RequestError`. Raises `DeviceError`."""
        self.require_usable(error)
        if isinstance(error, OV2Error):
            return error
        self._log(error, what)
        contained = RequestError(
            f"{what}: expected it to be computed, got {type(error).__name__}: {error}; nothing else failed"
        )
        contained.__cause__ = error
        return contained

    def require_usable(self, error: Exception) -> None:
        """Raise `DeviceError` when this leaves the device unusable."""
        if isinstance(error, DeviceError):
            raise error
        self.is_suspect = self.is_suspect or isinstance(error, PoolError) or not isinstance(error, OV2Error)
        if isinstance(error, PoolError) or _is_sticky(error) or self._is_lost():
            raise DeviceError(f"device: expected one that computes, got {type(error).__name__}: {error}") from error

    def _log(self, error: Exception, what: str) -> None:
        """In full for the first of its kind, then at most once a second."""
        kind = what, type(error)
        self._num_logged[kind] += 1
        if self._num_logged[kind] == 1:
            log.error("engine: a %s raised, and fails alone", what, exc_info=error)
        elif self._log_limit.allows():
            log.error("engine: a %s raised, and fails alone: %r (%d of its kind so far)", what, error, self._num_logged[kind])

    def _is_lost(self) -> bool:
        """A CUDA device raises an earlier failure at every call."""
        if self._device.type != "cuda":
            return False
        try:
            torch.cuda.synchronize(self._device)
        except RuntimeError:
            log.exception("engine: the CUDA device cannot be used any more")
            return True
        return False


def is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or NO_MEMORY in str(error)


def _is_sticky(error: Exception) -> bool:
    return isinstance(error, torch.AcceleratorError) and getattr(error, "error_code", None) in STICKY_CUDA_ERRORS

"""`ov2 serve` from start to stop: port, model, service.

In: a configuration. Out: a process that serves, alone in its data folder, until SIGTERM or SIGINT, and an exit status: 0 after a stop, 1
when the model's thread died. What cannot start raises, the quick checks first: `StartError`, `CheckpointError`, `SettingsError`,
`PublishError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stream.config.configuration import Config, ModelSettings
from stream.config.folders import check_recordings, lock_data
from stream.private_file import write_private
from stream.serve.listening import listen

if TYPE_CHECKING:
    from ov2.model import OV2Model

M_ARENA_MAX = -8
"""Of glibc's malloc.h."""
ARENAS = 2


def serve(config: Config, *, ready: Callable[[str], None] = lambda line: None) -> int:
    """Serve until told to stop. `ready` gets one JSON line when the port answers."""
    bound_arenas()
    with lock_data(config.data), listen(config.server.host, config.server.port) as listening:
        check_recordings(config.recording_folders, config.data)
        model = load_model(config.model)
        from stream.serve.runner import Runner

        def settled(line: str) -> None:
            settle()
            ready(line)

        runner = Runner(config, model, listening, ready=settled)
        loop = asyncio.new_event_loop()
        try:  # not asyncio.run, which waits for a thread that hangs however long it does
            return loop.run_until_complete(runner.run(signals=(signal.SIGTERM, signal.SIGINT)))
        finally:
            loop.close()


def bound_arenas() -> None:
    """glibc gives every thread that finds the others busy an arena of its own, up to eight for each core, and keeps what is freed in each of
    them: memory then grows with the number of threads that were ever busy at once. Two are enough for threads that mostly hold Python's
    lock. `MALLOC_ARENA_MAX` of the environment goes first; other C libraries have nothing of the kind."""
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def settle() -> None:
    """What has been loaded stays as long as the process, and is half a million objects: Python's collector would look through all of them
    every now and then, and hold every thread for some 0.2 to 0.6 s while it does."""
    gc.collect()
    gc.freeze()


def load_model(settings: ModelSettings) -> OV2Model:
    """Raises `CheckpointError`."""
    import torch

    from ov2.model import OV2Model

    torch.set_num_threads(settings.threads)
    return OV2Model.from_pretrained(
        settings.path, dtype=settings.dtype, device=settings.device, weights=settings.weights
    ).eval()


def write_ready(path: Path | None, line: str) -> None:
    """Tell whoever waits for the service: to a file that only its owner may read (it may hold the broker's credentials), or to standard
    output for `-`."""
    if path is None:
        return
    if str(path) == "-":
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        return
    write_private(path, line + "\n")

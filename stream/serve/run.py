"""`ov2 serve` from start to stop: port, model, service.

In: a configuration. Out: a process that serves, alone in its data folder, until SIGTERM or SIGINT, and an exit status: 0 after a stop, 1
when the model's thread died. What cannot start raises, the quick checks first: `StartError`, `CheckpointError`, `SettingsError`,
`PublishError`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stream.config.configuration import Config, ModelSettings
from stream.config.folders import check_recordings, lock_data
from stream.private_file import write_private
from stream.serve.listening import listen
from stream.serve.process_memory import bound_arenas, settle

if TYPE_CHECKING:
    from ov2.model import OV2Model


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

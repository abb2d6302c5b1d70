"""The processes of a run on one machine: which of them this is, and how several are started.

In: how many, and what each is to do. Out: they ran to their end, or an error. A launcher from outside (`torchrun`) is
understood as well: it says in the environment which process is which.

Nothing listens beyond this machine: processes find each other through a file, and speak over the loopback interface.
"""

from __future__ import annotations

import os
import pickle
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from ov2.errors import OV2Error
from trainer.errors import ConfigError, ProcessError, TrainerError

PATIENCE = timedelta(days=1)
"""How long the others wait for one that makes clips or writes a checkpoint; one that dies is noticed at once all the same."""


def this_process(**where: Any) -> PartialState:
    """Which process this is, and of how many. `where`: how the processes find each other, when nobody has said so in the environment."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    on_cpu = several and (os.environ.get("ACCELERATE_USE_CPU") == "true" or not torch.accelerator.is_available())
    return PartialState(cpu=on_cpu, **({"timeout": PATIENCE, **where} if several else {}))


def run_on(num: int, work: Callable[..., None], *arguments: object) -> None:
    """Run `work(*arguments)` in `num` new processes that train together, and wait for all; one that fails ends the others.

    Raises:
        ConfigError: the command was itself started as one of several.
        ProcessError: a process was killed.
        TrainerError, OV2Error: what one of them raised about its input.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("processes: expected a launcher or --processes, got both; leave --processes out")
    threads = max(1, (os.cpu_count() or 1) // num)
    # waiting threads that spin would take the cores from those who compute; and each process would warn, across the progress bar, of a
    # search for unused weights that only some stages need
    quiet = {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        **_loopback(),
    }
    with tempfile.TemporaryDirectory(prefix="ov2-train-") as folder, _environment(quiet):
        try:
            spawn(_one, (num, Path(folder), work, arguments), nprocs=num)  # type: ignore[no-untyped-call]
        except ProcessExitedException as ended:
            for file in Path(folder).glob("error-*"):
                raise pickle.loads(file.read_bytes()) from None
            raise ProcessError(
                f"process {ended.error_index} of {num}: expected it to run to its end, got {ended.signal_name or ended.exit_code}; "
                "go on with --resume"
            ) from ended


def _one(rank: int, num: int, folder: Path, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    """One process; an error about its input is left for the one that started it."""
    for name, value in (("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", num), ("LOCAL_WORLD_SIZE", num)):
        os.environ[name] = str(value)
    try:
        this_process(init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=num)
        work(*arguments)
    except (TrainerError, OV2Error) as error:
        (folder / f"error-{rank}").write_bytes(pickle.dumps(error))
        raise SystemExit(2) from error
    torch.distributed.destroy_process_group()


def _loopback() -> dict[str, str]:
    names = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    return {"GLOO_SOCKET_IFNAME": names[0]} if names else {}


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables for processes that are started meanwhile; those that the user has set stay."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]

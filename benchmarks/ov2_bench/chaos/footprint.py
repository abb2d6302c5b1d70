"""What a process and its children hold of the machine, and how busy the machine is.

In: a process id. Out: memory, threads, descriptors, children, CPU seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a process and its children hold. `memory_bytes`: their share of physical memory, what is shared counted once."""

    memory_bytes: int
    threads: int
    fds: int
    processes: int
    cpu_s: float


class MachineTimes(NamedTuple):
    """CPU seconds of the whole machine since it was started: those spent idle, and all."""

    idle_s: float
    all_s: float


def machine_times() -> MachineTimes:
    import psutil

    times = psutil.cpu_times()
    return MachineTimes(times.idle + getattr(times, "iowait", 0.0), sum(times))


def idle_share(before: MachineTimes, after: MachineTimes) -> float:
    """Of the machine's CPU time between two moments: how much nobody used."""
    return (after.idle_s - before.idle_s) / max(after.all_s - before.all_s, 1e-9)


def footprint(pid: int) -> Footprint:
    """Of a process and all its children, now."""
    import psutil

    whole = psutil.Process(pid)
    family = [whole, *whole.children(recursive=True)]
    parts = [part for process in family if (part := _one(process)) is not None]
    waited = whole.cpu_times()
    return Footprint(
        memory_bytes=sum(part.memory_bytes for part in parts),
        threads=sum(part.threads for part in parts),
        fds=sum(part.fds for part in parts),
        processes=len(parts),
        cpu_s=sum(part.cpu_s for part in parts) + waited.children_user + waited.children_system,
    )


def _one(process: psutil.Process) -> Footprint | None:
    """None for a child that has just ended."""
    import psutil

    try:
        with process.oneshot():
            spent = process.cpu_times()
            memory = process.memory_full_info()
            return Footprint(
                memory_bytes=int(getattr(memory, "pss", memory.rss)),
                threads=process.num_threads(),
                fds=process.num_fds(),
                processes=1,
                cpu_s=spent.user + spent.system,
            )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None

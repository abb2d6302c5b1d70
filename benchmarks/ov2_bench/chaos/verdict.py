"""What a chaos run comes to.

In: a finished `ChaosRun`. Out: the JSON object of `ov2 bench chaos`, and the lines of its table.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ov2_bench.chaos.footprint import Footprint, idle_share
from ov2_bench.chaos.ledger import Outage, percentile, spacing_errors
from ov2_bench.chaos.run import METRONOME_S, ChaosRun, names_of
from ov2_bench.chaos.schedule import FaultKind

JITTER_SHARE = 0.95


def verdict(run: ChaosRun) -> dict[str, Any]:
    """All figures.

    - `longest_outage_s`: from the moment the peer is back to new frames of a camera that is live or degraded. `longest_outage_share`: of what
      is allowed for it, twice its backoff and 5 s; `late` counts those that took longer, or for ever (`never_back`).
    - `longest_until_live_s`: to the state `live`, which a camera that lost pictures on the way reaches when they are some seconds ago.
    - `exceptions`: tracebacks in the log, packets that a fault barrier caught, a bad exit status.
    - `memory_growth`, a share, and `thread_growth`, `fd_growth`, `process_growth`, counts: of the service with its children, medians of the
      second half of the rest against that of the quiet phase.
    - `untouched_jitter_ms`: cameras that nobody touches close a group every 2 s of media; of the times between two closings, as polled every
      50 ms, how far the worst but 5 % are from 2 s while faults are injected into others. `quiet_jitter_ms`: the same before.
    - `idle_share`: of the machine's CPU time. Without any, jitter and `model_behind` say more of the machine than of the service.
    """
    before, after = _median(run, "quiet"), _median(run, "rest")
    internal = sum(_internal(watched.status.get("drops", {})) for watched in run.watched.values())
    lengths_s = [outage.outage_s for outage in run.outages if outage.outage_s is not None]
    return {
        "seed": run.settings.seed,
        "minutes": round(run.settings.chaos_s / 60, 2),
        "blows": len(run.outages),
        "longest_outage_s": round(max(lengths_s, default=0.0), 2),
        "longest_outage_share": round(
            max((_share(outage) for outage in run.outages if outage.outage_s is not None), default=0.0), 3
        ),
        "late": sum(outage.is_late for outage in run.outages),
        "never_back": sum(outage.outage_s is None for outage in run.outages),
        "longest_until_live_s": round(max((outage.until_live_s or 0.0 for outage in run.outages), default=0.0), 2),
        "down": run.down(),
        "degraded": [name for name, watched in run.watched.items() if watched.is_back and not watched.is_live],
        "without_groups": _without_groups(run),
        "exceptions": run.tracebacks + internal + int(run.status != 0),
        "unanswered": run.failures,
        "memory_growth": round(after.memory_bytes / before.memory_bytes - 1, 4),
        "memory_mib": [round(each.memory_bytes / 2**20, 1) for each in (before, after)],
        "thread_growth": after.threads - before.threads,
        "fd_growth": after.fds - before.fds,
        "process_growth": after.processes - before.processes,
        "untouched_jitter_ms": _jitter_ms(run, "chaos"),
        "quiet_jitter_ms": _jitter_ms(run, "quiet"),
        "untouched_drops": {name: run.watched[name].status.get("drops", {}) for name in names_of(run, touched=False)},
        "idle_share": round(idle_share(run.machine[0], run.machine[-1]), 3),
        "stop_s": None if run.stop_s is None else round(run.stop_s, 2),
        "exit_status": run.status,
        "injuries": {kind.value: _of_kind(run.outages, kind) for kind in FaultKind},
        "cameras": {name: _camera(run, name) for name in run.cameras},
    }


def found_wrong(result: Mapping[str, Any]) -> bool:
    """Whether a promise was broken: somebody came back late, never, or without groups; or something escaped."""
    return bool(result["late"] or result["exceptions"] or result["down"] or result["without_groups"])


def _without_groups(run: ChaosRun) -> list[str]:
    """Cameras that closed no group after all faults were over: from the recovery to the end."""
    since_s = run.span("recovery")[0]
    return [name for name, watched in run.watched.items() if not watched.closings or watched.closings[-1] < since_s]


def _share(outage: Outage) -> float:
    return (outage.outage_s or 0.0) / outage.allowed_s


def _median(run: ChaosRun, phase: str) -> Footprint:
    """Of the second half of a phase, when things have settled."""
    start_s, end_s = run.span(phase)
    inside = [each for at_s, each in run.footprints if (start_s + end_s) / 2 <= at_s <= end_s] or [run.footprints[-1][1]]

    def middle(of: Callable[[Footprint], float]) -> float:
        return statistics.median(map(of, inside))

    return Footprint(
        memory_bytes=round(middle(lambda each: each.memory_bytes)),
        threads=round(middle(lambda each: each.threads)),
        fds=round(middle(lambda each: each.fds)),
        processes=round(middle(lambda each: each.processes)),
        cpu_s=middle(lambda each: each.cpu_s),
    )


def _jitter_ms(run: ChaosRun, phase: str) -> float:
    start_s, end_s = run.span(phase)
    errors = [
        error
        for name in names_of(run, touched=False)
        for error in spacing_errors(run.watched[name].closings, start_s, end_s, METRONOME_S)
    ]
    return round(1000 * percentile(errors, JITTER_SHARE), 1)


def _internal(drops: Mapping[str, int]) -> int:
    """Exceptions that a fault barrier caught."""
    return sum(count for reason, count in drops.items() if reason.startswith("internal"))


def _of_kind(outages: Sequence[Outage], kind: FaultKind) -> dict[str, float | int]:
    of_kind = [outage for outage in outages if outage.kind is kind]
    lengths_s = [outage.outage_s for outage in of_kind if outage.outage_s is not None]
    return {
        "count": len(of_kind),
        "median_outage_s": round(statistics.median(lengths_s), 2) if lengths_s else 0.0,
        "longest_outage_s": round(max(lengths_s, default=0.0), 2),
        "late": sum(outage.is_late for outage in of_kind),
    }


def _camera(run: ChaosRun, name: str) -> dict[str, Any]:
    status = run.watched[name].status
    kept = ("state", "reason", "groups", "frames", "reconnects", "drops")
    return {"kind": run.cameras[name].kind, "blows": sum(outage.camera == name for outage in run.outages)} | {
        key: status[key] for key in kept if key in status
    }

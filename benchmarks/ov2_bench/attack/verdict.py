"""What a run comes to.

In: a finished `AttackRun`. Out: the JSON object of `ov2 bench attack`, and which promises were broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ov2_bench.attack.ledger import Record
from ov2_bench.attack.run import AttackRun, Siege
from ov2_bench.attack.watcher import median
from ov2_bench.chaos.footprint import idle_share

LONGEST_STALL_MS = 500.0
MOST_GROWTH = 0.10
"""Of memory, a share."""


def verdict(run: AttackRun) -> dict[str, Any]:
    """All figures.

    - `tried`, `failed`: cases; tracebacks in the log are failed ones. `fuzzed`: those drawn at random.
    - `service_restarts`: processes that had ended, and engines begun again within one.
    - `longest_stall_ms`: of /healthz, asked 20 times a second. `machine_late_ms`: how late the probe itself woke up at worst, which is the
      machine's; `idle_share` of its CPU time.
    - `rss_growth`, `fd_growth`: of the service with its children, of the worse of both services; medians of the second half of the rest
      against that of the quiet phase. `tmp_left_bytes`: in both temporary folders, after the stop.
    """
    sieges = {siege.service: _siege(siege) for siege in run.sieges}
    values = list(sieges.values())
    return {
        "seed": run.settings.seed,
        "minutes": round(run.settings.attack_s / 60, 2),
        "tried": run.ledger.tried,
        "failed": run.ledger.failed,
        "fuzzed": run.num_fuzzed,
        "service_restarts": sum(each["restarts"] + each["engine_restarts"] for each in values),
        "longest_stall_ms": max(each["longest_stall_ms"] for each in values),
        "machine_late_ms": max(each["machine_late_ms"] for each in values),
        "rss_growth": max(each["rss_growth"] for each in values),
        "fd_growth": max(each["fd_growth"] for each in values),
        "tmp_left_bytes": sum(each["tmp_left_bytes"] for each in values),
        "tracebacks": len(run.tracebacks),
        "idle_share": round(idle_share(run.machine[0], run.machine[-1]), 3),
        "services": sieges,
        "attacks": {name: _attack(run, name, record) for name, record in run.ledger.records.items()},
    }


def broken_promises(result: Mapping[str, Any]) -> list[str]:
    """Which, in words; none where all is well."""
    limits = {
        "failed": 0, "service_restarts": 0, "longest_stall_ms": LONGEST_STALL_MS, "rss_growth": MOST_GROWTH, "fd_growth": 0,
        "tmp_left_bytes": 0,
    }  # fmt: skip
    broken = [
        f"{name}: expected at most {limit:g}, got {result[name]:g}" for name, limit in limits.items() if result[name] > limit
    ]
    return broken if result["tried"] else [*broken, "nothing was tried"]


def _siege(siege: Siege) -> dict[str, Any]:
    before, after = (median(siege.weights, *siege.span(phase)) for phase in ("quiet", "rest"))
    began_s, ended_s = siege.span("attack")[0], siege.span("rest")[1]
    readings = [each for each in siege.readings if began_s <= each.at_s <= ended_s]
    is_weighed = before is not None and after is not None
    return {
        "restarts": siege.target.num_restarts,
        "engine_restarts": siege.num_engine_restarts,
        "longest_stall_ms": max((each.answer_ms for each in readings if each.status), default=0.0),
        "unanswered": sum(not each.status for each in readings),
        "machine_late_ms": max((each.late_ms for each in readings), default=0.0),
        "rss_growth": round(after.memory_bytes / before.memory_bytes - 1, 4) if before and after else 0.0,
        "rss_mib": [round(each.memory_bytes / 2**20, 1) for each in (before, after) if each is not None],
        "peak_mib": round(max((each.memory_bytes for each in siege.weights), default=0) / 2**20, 1),
        "fd_growth": after.fds - before.fds if before and after else 0,
        "fds": [each.fds for each in (before, after) if each is not None] if is_weighed else [],
        "peak_tmp_bytes": max((each.temporary_bytes for each in siege.weights), default=0),
        "tmp_left_bytes": siege.left_bytes,
        "exit_status": siege.status,
    }


def _attack(run: AttackRun, name: str, record: Record) -> dict[str, Any]:
    spans = [(began_s, ended_s) for siege in run.sieges for attack, began_s, ended_s in siege.strikes if attack == name]
    readings = [each for siege in run.sieges for each in siege.readings if each.status]
    stalls = [each.answer_ms for each in readings if any(began_s <= each.at_s <= ended_s for began_s, ended_s in spans)]
    return {
        "tried": record.tried,
        "failed": record.failed,
        "strikes": record.strikes,
        "spent_s": round(record.spent_s, 1),
        "longest_stall_ms": max(stalls, default=0.0),
        "skipped": record.skipped,
        "what": dict(record.failures.most_common()),
    }

"""`ov2 bench kernels`: our kernels against the best public alternatives, and against what this machine can do.

In: the devices of this machine. Out: for each operation the median time of ours and of every alternative, all timed in turn in one run;
the ratio to the best alternative; bytes and operations per second, as shares of a copy's and a matrix product's, measured here too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ov2_bench.kernel_workloads import Run, Workload, workloads

if TYPE_CHECKING:
    import torch
    from rich.table import Table

COPY_BYTES = {"cpu": 2**27, "cuda": 2**30}
"""Far larger than any cache."""
MATMUL_SIDE = {"cpu": 1024, "cuda": 8192}
GIGA = 1e9
COLUMNS = ("operation", "ours, ms", "alternatives, ms", "ours / best", "GB/s", "GFLOP/s")
FAILURES = (RuntimeError, NotImplementedError, ValueError)
"""What an alternative raises where it cannot run: the reason is reported."""
Result = dict[str, Any]


def bench_kernels(repeats: int) -> dict[str, Result]:
    """Per device: its name, its ceilings, and one entry per operation."""
    import torch

    devices = [torch.device("cpu")] + ([torch.device("cuda", torch.cuda.current_device())] if torch.cuda.is_available() else [])
    torch.manual_seed(0)
    with torch.inference_mode():
        return {device.type: _bench(device, repeats) for device in devices}


def table(device: str, result: Result) -> Table:
    """One device's result for the terminal."""
    from rich.table import Table

    copy, product = result["copy_gb_per_s"], result["matmul_gflop_per_s"]
    shown = Table(title=f"{device}: {result['name']}; copy {copy:.0f} GB/s, matrix product {product:.0f} GFLOP/s")
    for column in COLUMNS:
        shown.add_column(column, no_wrap=True, justify="left" if column in ("operation", "alternatives, ms") else "right")
    for name, row in result["operations"].items():
        others = "\n".join(f"{other}: {_cell(value)}" for other, value in row["alternatives"].items())
        rate = f"{row['gb_per_s']:.1f} ({row['share_of_copy']:.0%})"
        work = f"{row['gflop_per_s']:.0f} ({row['share_of_matmul']:.0%})" if row["gflop_per_s"] else "-"
        ratio = "-" if row["ratio_to_best"] is None else f"{row['ratio_to_best']:.2f}"
        shown.add_row(name, f"{row['ours_ms']:.3f}", others, ratio, rate, work)
    return shown


def _bench(device: torch.device, repeats: int) -> Result:
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    copy, product = _ceilings(device, repeats)
    operations = {workload.name: _row(workload, device, repeats, copy, product) for workload in workloads(device)}
    return {"name": name, "copy_gb_per_s": copy, "matmul_gflop_per_s": product, "operations": operations}


def _row(workload: Workload, device: torch.device, repeats: int, copy: float, product: float) -> Result:
    """Everybody in turn, so that what else the machine does hits all alike."""
    runs: dict[str, Run] = {"ours": workload.ours}
    told: dict[str, float | str] = {}
    for name, other in workload.others.items():
        reason = other if isinstance(other, str) else _reason_not_to(other)
        told[name] = reason or ""
        if not reason and not isinstance(other, str):
            runs[name] = other
    times_s = _medians(runs, device, repeats)
    told |= {name: 1e3 * times_s[name] for name in times_s if name != "ours"}
    best = min((value for value in told.values() if isinstance(value, float)), default=None)
    ours_s = times_s["ours"]
    gb_per_s, gflop_per_s = workload.num_bytes / ours_s / GIGA, workload.num_flops / ours_s / GIGA
    return {
        "ours_ms": 1e3 * ours_s,
        "alternatives": told,
        "ratio_to_best": None if best is None else 1e3 * ours_s / best,
        "gb_per_s": gb_per_s,
        "share_of_copy": gb_per_s / copy,
        "gflop_per_s": gflop_per_s,
        "share_of_matmul": gflop_per_s / product,
    }


def _reason_not_to(run: Run) -> str | None:
    """Run once, which also compiles; the first line of what it says where it cannot."""
    try:
        run()
    except FAILURES as error:
        return f"not available: {str(error).strip().splitlines()[0][:60]}"
    return None


def _medians(runs: Mapping[str, Run], device: torch.device, repeats: int) -> dict[str, float]:
    """Seconds of each, after one warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            _wait(device)
            began = time.perf_counter()
            run()
            _wait(device)
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(those[1:]) for name, those in times.items()}


def _wait(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _ceilings(device: torch.device, repeats: int) -> tuple[float, float]:
    """GB/s of a copy (read and written) and GFLOP/s of a matrix product in the type that the workloads use."""
    import torch

    source = torch.zeros(COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    side = MATMUL_SIDE[device.type]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)
    times_s = _medians({"copy": lambda: target.copy_(source), "matmul": lambda: a @ b}, device, repeats)
    return 2 * source.numel() / times_s["copy"] / GIGA, 2 * side**3 / times_s["matmul"] / GIGA


def _cell(value: float | str) -> str:
    return f"{value:.3f}" if isinstance(value, float) else value

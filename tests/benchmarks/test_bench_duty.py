"""`ov2 bench duty` and `ov2 bench tokenize`: the same groups with few pictures decoded, told as promised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ov2_bench.camera_path import run_path
from ov2_bench.duty import bench_duty, encodings, table
from ov2_command import ov2
from rich.console import Console
from walker_film import film

from trainer.world import World, write_file

LITTLE = (256, 144)


def test_a_quiet_camera_is_hardly_decoded_and_its_groups_are_those_of_decoding_all(tmp_path: Path) -> None:
    told: list[str] = []
    rows = bench_duty(tmp_path, seed=900000, sizes=[LITTLE], duties=[0, 100], seconds=60.0, repeats=1, tell=told.append)
    quiet, busy = rows["256x144"]["0"], rows["256x144"]["100"]
    assert set(quiet) == set(busy) == {each.name for each in encodings(0)}
    assert all(row["same_groups"] for by_encoding in (quiet, busy) for row in by_encoding.values())
    assert quiet["crf"]["decoded_share"] < 0.05
    assert busy["crf"]["decoded_share"] > 0.8
    assert len(told) == 2 * 2 * len(encodings(0))
    console = Console(width=200, record=True)
    console.print(table(rows))
    assert "0 %" in console.export_text()


def test_the_path_of_a_camera_gives_the_same_groups_eager_or_not() -> None:
    lazy, eager = run_path(film(gop=30)), run_path(film(gop=30), eager=True)
    assert lazy.digests == eager.digests
    assert len(lazy.digests) > 2
    assert lazy.decoded_share < eager.decoded_share == 1.0


@pytest.mark.parametrize("flags", [[], ["--eager"]])
def test_the_command_tells_ratios_and_the_share_decoded(tmp_path: Path, flags: list[str]) -> None:
    path = tmp_path / "yard.mp4"
    write_file(World(900001, duration_s=8.0, duty=0.0), path, width=256, height=144, fps=10)
    done = ov2("bench", "tokenize", str(path), "--repeats", "1", "--json", *flags)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["ratio_to_decode"] > 0
    assert result["with_alerts"] > 0
    assert (result["decoded_share"] == 1.0) is bool(flags)

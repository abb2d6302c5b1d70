"""`ov2 bench train`: two commits train the same clips; here this one is compared with itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from ov2_bench import training
from ov2_command import ov2
from repository import ROOT

WAIT_S = 400.0


def _small(monkeypatch: pytest.MonkeyPatch, *, num_clips: int) -> None:
    """Short small films, one step before those that are timed, nothing compiled."""
    film = {"width": 320, "height": 180, "duration_s": 12.0, "moment_every_s": 2.0}
    monkeypatch.setattr(training, "DATA", {"num_clips": num_clips, "num_validation": 1, **film})
    monkeypatch.setattr(training, "STAGE", {**training.STAGE, "window_s": 8.0, "moments": 2})
    monkeypatch.setattr(training, "OURS", {**training.OURS, "compiled": False, "loaders": 0})
    monkeypatch.setattr(training, "FIRST_STEPS", 1)


def test_a_commit_that_nobody_has_is_named(tmp_path: Path) -> None:
    done = ov2("bench", "train", "--before", "nonsense", "--out", str(tmp_path), wait_s=WAIT_S)
    assert done.returncode == 2
    assert "commit nonsense: expected it in the repository" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(WAIT_S)
def test_a_commit_beside_itself_learns_as_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, check=False).returncode:
        pytest.skip("this is no git repository, so there is no other commit")
    _small(monkeypatch, num_clips=2)
    result = training.bench_train(tmp_path, before="HEAD", steps=2, repeats=1)
    assert result["labelled_tokens_per_window"] > 2 * result["before"]["labelled_tokens_per_window"]
    assert 0 < result["mfu"] < 1
    assert result["windows_per_s"] > 0
    assert result["before"]["commit"] == "HEAD"
    assert not (tmp_path / "before").exists()
    json.dumps(result)

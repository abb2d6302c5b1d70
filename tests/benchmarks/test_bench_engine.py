"""The benchmarks of the engine give what is promised, at small sizes."""

from __future__ import annotations

from importlib import import_module

import pytest
from ov2_bench.endless import bench_endless
from ov2_bench.engine import bench_engine

from ov2.session_settings import SessionSettings


def test_the_engine_is_measured_against_reading_the_window_again() -> None:
    result = bench_engine("ov2-nano", 512, 50.0, 2, 3, "model", compare_hf=True)
    assert result["append_per_s"] > 0
    assert result["decode_tokens_per_s"] > 0
    assert set(result["first_token_ms"]) == {"p50", "p95", "p99"}
    assert 400 < result["window_tokens"] <= 512
    assert result["hf"]["first_token_ratio"] > 0
    assert result["streams_at_token_rate"] > 0


def test_an_endless_camera_answers_the_same_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("ov2_bench.endless"), "SCENE_S", 8.0)
    seen: list[float] = []
    result = bench_endless(100, "ov2-nano", seen.append, SessionSettings(window_s=8.0))
    assert result["answers_equal"] is True
    assert result["compared_answers"] >= 12
    assert result["groups"] == 100
    assert result["renewals"] > 2
    assert {"append_growth", "first_token_growth", "memory_growth"} <= set(result)
    assert seen == sorted(seen)

"""OpenMP's threads wait asleep in every command: by the word of the runtime that torch has loaded, which reads the environment once."""

from __future__ import annotations

import os
import sys

import pytest
from ov2_command import ov2

OPENMP = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def loaded_with(**variables: str) -> str:
    """What the OpenMP runtime says of itself when a command loads torch."""
    environment = {name: value for name, value in os.environ.items() if name not in OPENMP}
    done = ov2(
        "ask",
        "a/film.mp4",
        "who?",
        "--model",
        "no-such-model",
        environment={**environment, "OMP_DISPLAY_ENV": "VERBOSE", **variables},
    )
    assert "no-such-model" in done.stderr, "it comes as far as loading a model"
    return done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp, which tells so, is what torch loads on Linux")
def test_a_command_makes_threads_wait_asleep_before_torch_is_loaded() -> None:
    outputs = loaded_with()
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in outputs
    assert "GOMP_SPINCOUNT = '0'" in outputs


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp, which tells so, is what torch loads on Linux")
def test_what_the_user_has_set_stays() -> None:
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in loaded_with(OMP_WAIT_POLICY="ACTIVE")
    assert "GOMP_SPINCOUNT = '12345'" in loaded_with(GOMP_SPINCOUNT="12345")

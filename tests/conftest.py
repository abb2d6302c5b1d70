"""What all tests share: golden data, and an RTSP server made by others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from certificates import Certificate, make_certificate
from programs import PROGRAMS, require
from repository import GOLDEN
from rtsp_fixtures import RtspServer

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is imported: kernels then run on CPU tensors

collect_ignore_glob = [] if find_spec("triton") else ["kernels/*"]
"""Triton is published for Linux alone; the kernels' tests need it."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose program is missing does not begin."""
    for fixture in getattr(item, "fixturenames", ()):
        if fixture in PROGRAMS:
            require(fixture)


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture
def rtsp_server() -> Iterator[RtspServer]:
    server = RtspServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))

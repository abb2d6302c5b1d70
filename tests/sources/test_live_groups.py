"""The same packets give the same groups and canvases, bit for bit: from a file, pushed to us over RTSP, pulled from a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from published import published
from rtsp_publisher import publish

from stream.sources import open_source
from stream.tokenizer.budget import group_line
from stream.tokenizer.settings import TokenizerSettings, settings_from
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet
from trainer.world import World, write_file

SECONDS = 6.0
SETTINGS = {
    "published": published(max_pixels=24_000, token_rate=60.0, t_max_s=3.0),
    "activity": settings_from({"token_rate": 60.0, "t_still_s": 1.0, "calm_s": 1.0}),
}


def groups_of(packets: Iterable[Packet], settings: TokenizerSettings) -> list[dict[str, Any]]:
    tokenizer = Tokenizer(settings)
    groups = [group for packet in packets for group in tokenizer.push(packet)] + tokenizer.flush()
    return [group_line(group, index) for index, group in enumerate(groups)]


@pytest.fixture(scope="module", params=["default", "bframes"])
def camera(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def film(camera: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_file(World(900_005, duration_s=SECONDS), path, width=320, height=180, camera=camera)


@pytest.fixture(scope="module", params=SETTINGS)
def settings(request: pytest.FixtureRequest) -> TokenizerSettings:
    return SETTINGS[request.param]


@pytest.fixture(scope="module")
def from_file(film: Path, settings: TokenizerSettings) -> list[dict[str, Any]]:
    with open_source(str(film)) as packets:
        groups = groups_of(packets, settings)
    assert len(groups) >= 3
    return groups


def test_a_live_camera_over_rtsp_gives_the_groups_of_the_file(
    film: Path, from_file: list[dict[str, Any]], settings: TokenizerSettings
) -> None:
    """The film's own packets are sent: an encoder need not make the same ones twice."""
    url = f"rtsp://127.0.0.1:{free_port()}/front"
    with ThreadPoolExecutor(1) as threads:
        sent = threads.submit(publish, film, url)
        with open_source(url, listen=True, timeout_s=30.0) as packets:
            assert groups_of(packets, settings) == from_file
        sent.result()


def test_a_server_that_we_pull_from_gives_the_groups_of_the_file(
    film: Path, from_file: list[dict[str, Any]], settings: TokenizerSettings, rtsp_server: Callable[..., int]
) -> None:
    with open_source(f"rtsp://127.0.0.1:{rtsp_server(film)}/cam", timeout_s=30.0) as packets:
        assert groups_of(packets, settings) == from_file


def test_looking_at_the_open_group_at_any_moment_changes_nothing(
    film: Path, from_file: list[dict[str, Any]], settings: TokenizerSettings
) -> None:
    tokenizer, groups = Tokenizer(settings), []
    with open_source(str(film)) as packets:
        for index, packet in enumerate(packets):
            groups += tokenizer.push(packet)
            if index % 3 == 0:
                tokenizer.peek()
    groups += tokenizer.flush()
    assert [group_line(group, index) for index, group in enumerate(groups)] == from_file

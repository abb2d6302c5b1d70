"""Clips over HTTP: cut once, kept within bounds, sent in ranges; whatever a client does, nothing stays behind and nobody else waits."""

from __future__ import annotations

import asyncio
import re
import socket
import tempfile
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from clips import write_clip
from hypothesis import given
from hypothesis import strategies as st
from service_fixtures import RunningService, Start, checkpoint, model, start, video  # noqa: F401
from waiting import until

from stream.camera.errors import AtCapacityError
from stream.camera.recording import Recorder, Stretch
from stream.config.recording import RecordSettings
from stream.config.sections import ClipOptions
from stream.packetlog import Clip, PacketLog, PacketLogWriter, cut_clip
from stream.serve.clips import NUM_CUTTERS, Asked, Clips
from stream.serve.errors import RangeError
from stream.serve.open_file_response import byte_range, has_tag
from stream.sources import open_source
from stream.tokenizer.settings import TokenizerSettings
from stream.units import Packet

# ruff: noqa: F811

WALL_S = 1_700_000_000.0
PADDING = bytes(200_000)
"""Zeros behind a NAL unit are allowed (H.264 B.1.1), and make a small picture many bytes."""
STRETCH = {"start": str(WALL_S), "end": str(WALL_S + 3.0)}


def padded(path: Path) -> list[Packet]:
    with open_source(str(path), clock=lambda: WALL_S) as source:
        return [replace(packet, data=packet.data + PADDING) for packet in source]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> list[Packet]:
    """Six seconds, twelve million bytes."""
    return padded(write_clip(tmp_path_factory.mktemp("long") / "long.mp4", num_frames=60, fps=10, g="10", bf="0"))


def record(folder: Path, packets: list[Packet]) -> Path:
    with PacketLogWriter(folder) as writer:
        for packet in packets:
            writer.wait_for_room(packet)
            writer.put(packet)
    return folder


Recorded = Callable[..., RunningService]


@pytest.fixture
def recorded(start: Start, video: Path, long: list[Packet], tmp_path: Path) -> Recorded:
    """A service whose camera `front` has the long stretch in its log; `recorded(max_open=1)` sets `clips`."""

    def run(**clips: Any) -> RunningService:
        folder = record(tmp_path / "log", long)
        service = start({"front": {"url": str(video), "loop": True, "record": {"folder": str(folder)}}}, clips=clips)
        until(lambda: service.get("/v1/cameras/front/snapshot.jpg").status_code == 200)
        return service

    return run


def clip_of(service: RunningService, method: str = "GET", **headers: str) -> httpx.Response:
    url = f"{service.url}/v1/cameras/front/clip.mp4"
    named = {key.replace("_", "-"): text for key, text in headers.items()}
    return httpx.request(method, url, params=STRETCH, headers=named, timeout=60)


def kept(service: RunningService) -> list[Path]:
    return list(service.runner.service.config.clips_folder.iterdir())


# What is sent


def test_a_bad_range_is_refused_and_leaves_one_file_of_the_cache(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    service = recorded()
    bad = ["bytes=abc", "bytes=5-2", "bytes=-", "bytes=", "bytes=999999999-", "bytes=-0", "bytes=" + "9" * 5000 + "-"]
    for each in bad * 3:
        answer = clip_of(service, Range=each)
        assert (answer.status_code, answer.json()["error"]["code"]) == (416, "bad_range"), each
        assert re.fullmatch(r"bytes \*/\d+", answer.headers["Content-Range"])
    assert list((tmp_path / "temporary").iterdir()) == []
    assert len(kept(service)) == 1
    until(lambda: service.runner.service.clips.num_open == 0)  # the client has its last byte first


def test_ranges_tags_and_heads_are_all_of_one_file(recorded: Recorded) -> None:
    service = recorded()
    whole = clip_of(service)
    tag, size = whole.headers["ETag"], len(whole.content)
    part = clip_of(service, Range="bytes=100-199", If_Range=tag)
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{size}"
    assert clip_of(service, Range="bytes=-7").content == whole.content[-7:]
    assert clip_of(service, Range=f"bytes={size - 3}-").content == whole.content[-3:]
    for ignored in ({"Range": "bytes=0-1", "If_Range": '"another"'}, {"Range": "bytes=0-1,5-6"}, {"Range": "lines=1-2"}):
        answer = clip_of(service, **ignored)
        assert (answer.status_code, answer.content) == (200, whole.content), ignored
    same = clip_of(service, If_None_Match=f'"x", W/{tag}')
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    head = clip_of(service, "HEAD", Range="bytes=0-1")
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(size))
    assert head.headers["X-Clip-Start"] == whole.headers["X-Clip-Start"] == f"{WALL_S:.3f}"
    assert len(kept(service)) == 1
    assert service.end() == 0
    assert kept(service) == []


def test_a_picture_has_a_tag_and_a_head(recorded: Recorded) -> None:
    service = recorded()
    url = f"{service.url}/v1/events/1.000000-abcdef/snapshot.jpg"
    assert service.runner.service.alerts.snapshots.put("1.000000-abcdef", b"a picture")
    whole = httpx.get(url, timeout=60)
    assert httpx.get(url, headers={"If-None-Match": whole.headers["ETag"]}, timeout=60).status_code == 304
    head = httpx.head(url, timeout=60)
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(whole.content)))
    assert httpx.head(f"{service.url}/v1/cameras/front/snapshot.jpg", timeout=60).status_code == 200


@given(st.one_of(st.none(), st.text(max_size=20), st.from_regex(r"\Abytes=\d{0,25}-\d{0,25}\Z")), st.integers(1, 10**9))
def test_a_range_is_inside_the_file_or_refused(header: str | None, num_bytes: int) -> None:
    try:
        span = byte_range(header, num_bytes)
    except RangeError:
        return
    assert span is None or 0 <= span[0] < span[1] <= num_bytes
    assert has_tag(header, '"tag"') is (header is not None and ("*" in header.split(",") or '"tag"' in header))


# What clients do


def test_a_client_that_does_not_read_is_left_and_one_that_leaves_is_gone(recorded: Recorded) -> None:
    service = recorded(write_timeout_s=0.2)
    clips = service.runner.service.clips
    host, port = service.url.removeprefix("http://").split(":")
    request = f"GET /v1/cameras/front/clip.mp4?start={WALL_S}&end={WALL_S + 6} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((host, int(port)))
        deaf.sendall(request)
        until(lambda: clips.refused["clip_client_too_slow"] == 1)
        assert until(lambda: clips.num_open == 0)
        assert clip_of(service).status_code == 200
        deaf.settimeout(60)
        while deaf.recv(1 << 20):
            pass  # ended by the service
    with socket.create_connection((host, int(port))) as leaving:
        leaving.sendall(request)
        assert leaving.recv(100)
    assert until(lambda: clips.num_open == 0)


class Gated(Recorder):
    """Cuts when told to, and counts. The log is another's."""

    def __init__(self, folder: Path) -> None:
        super().__init__("gated", RecordSettings(folder=folder), TokenizerSettings())
        self.opened = threading.Event()
        self.num_cuts = 0

    def cut(self, stretch: Stretch, out_path: Path, **more: Any) -> Clip:
        self.num_cuts += 1
        assert self.opened.wait(60)
        return super().cut(stretch, out_path, **more)


def test_sixty_clips_at_once_hold_nobody_up(recorded: Recorded, tmp_path: Path) -> None:
    service = recorded(max_waiting=3)
    feed = service.runner.service.camera("front").feed
    gated = feed.recorder = Gated(tmp_path / "log")

    async def ask() -> list[int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=service.url, timeout=60, limits=limits) as client:
            url = "/v1/cameras/front/clip.mp4"
            asked = [client.get(url, params={**STRETCH, "end": str(WALL_S + 1 + at / 100)}) for at in range(60)]
            waiting = [asyncio.create_task(each) for each in asked]
            refused = 60 - NUM_CUTTERS - 3
            while sum(task.done() for task in waiting) < refused:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                waiting.sort(key=lambda task: not task.done())
                if (done := sum(task.done() for task in waiting)) < refused:
                    await asyncio.wait(waiting[done:], return_when=asyncio.FIRST_COMPLETED)
            for other in ("/healthz", "/v1/cameras/front/snapshot.jpg", "/v1/events", "/v1/status"):
                assert (await client.get(other)).status_code == 200, other
            gated.opened.set()
            answers = await asyncio.gather(*waiting)
            assert all(answer.headers["Retry-After"] == "1" for answer in answers if answer.status_code == 503)
            return [answer.status_code for answer in answers]

    assert Counter(asyncio.run(ask())) == {200: NUM_CUTTERS + 3, 503: 60 - NUM_CUTTERS - 3}
    assert service.runner.service.refused["clips_waiting"] == 60 - NUM_CUTTERS - 3
    assert gated.num_cuts == NUM_CUTTERS + 3


# The cache


@pytest.fixture
def gated(long: list[Packet], tmp_path: Path) -> Gated:
    return Gated(record(tmp_path / "log", long))


def asked(start_s: float, end_s: float) -> Asked:
    return Asked("front", str(WALL_S + start_s), str(WALL_S + end_s))


def clips_in(folder: Path, **options: Any) -> Clips:
    return Clips(folder / "clips", ClipOptions(**options), refused=Counter())


def test_a_stretch_is_cut_once_for_all_who_ask(gated: Gated, tmp_path: Path) -> None:
    async def run() -> None:
        clips = clips_in(tmp_path)
        opening = [asyncio.create_task(clips.open(asked(0, 3), gated)) for _ in range(20)]
        await asyncio.wait(opening, timeout=0)
        opening[0].cancel()  # who asked first leaves: the others have it all the same
        gated.opened.set()
        opened = await asyncio.gather(*opening[1:])
        assert gated.num_cuts == 1
        assert {each.cached.etag for each in opened} == {opened[0].cached.etag}
        for each in opened:
            each.close()
            each.close()
        assert clips.num_open == 0
        clips.close()

    asyncio.run(run())


def test_the_cache_keeps_its_bounds_and_an_open_clip_stays_readable(gated: Gated, tmp_path: Path) -> None:
    gated.opened.set()

    async def run() -> None:
        clips = clips_in(tmp_path, max_files=2)
        first = await clips.open(asked(0, 1), gated)
        for start_s in (1, 2, 3):
            (await clips.open(asked(start_s, start_s + 1), gated)).close()
        assert len(list((tmp_path / "clips").iterdir())) == 2
        again = await clips.open(asked(0, 1), gated)  # it was open, so the others went
        assert gated.num_cuts == 4
        for path in (tmp_path / "clips").iterdir():
            path.unlink()
        whole = await first.read(1 << 30, 0)
        assert len(whole) == first.cached.num_bytes
        second = await clips.open(asked(1, 2), gated)
        with pytest.raises(AtCapacityError, match=r"clips\.max_mb"):
            await clips.open(asked(4, 5), gated)
        anew = await clips.open(asked(0, 1), gated) if again.close() else first
        assert anew.cached.etag == first.cached.etag
        first.close()
        second.close()
        assert clips.num_open == 0
        clips.close()

    asyncio.run(run())
    assert list((tmp_path / "clips").iterdir()) == []


def test_a_stretch_cut_again_has_the_same_tag(gated: Gated, tmp_path: Path) -> None:
    gated.opened.set()

    async def tag() -> str:
        clips = clips_in(tmp_path)
        opened = await clips.open(asked(0, 2), gated)
        opened.close()
        clips.close()
        return opened.cached.etag

    assert asyncio.run(tag()) == asyncio.run(tag())
    assert gated.num_cuts == 2


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("clip-7.mp4", "clip-8.mp4.1234.part", "holiday.mp4"):
        (folder / name).write_bytes(b"x")
    clips_in(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["holiday.mp4"]


def test_the_rest_of_a_clip_of_a_growing_log_is_of_the_same_clip(long: list[Packet], gated: Gated, tmp_path: Path) -> None:
    gated.opened.set()
    words = Asked("front", "-3", "-0")

    async def run() -> None:
        clips = clips_in(tmp_path)
        first = await clips.open(words, gated)
        assert gated.close()
        record(gated.folder, [replace(packet, wall_s=packet.wall_s + 60) for packet in long])
        rest = await clips.open(words, gated, continues=True)
        anew = await clips.open(words, gated)
        assert first.cached.etag == rest.cached.etag != anew.cached.etag
        assert anew.cached.start_s > first.cached.end_s
        for each in (first, rest, anew):
            each.close()
        clips.close()

    asyncio.run(run())


def test_a_disk_that_is_in_trouble_is_told_without_its_path(recorded: Recorded, tmp_path: Path) -> None:
    service = recorded()
    folder = service.runner.service.config.clips_folder
    folder.parent.mkdir(exist_ok=True)
    folder.write_bytes(b"a file where the folder should be")
    answer = clip_of(service)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "clip_not_cut")
    assert str(tmp_path) not in answer.text
    folder.unlink()
    assert clip_of(service).status_code == 200
    until(lambda: service.runner.service.clips.num_open == 0)  # the client has its last byte first


def test_a_clip_is_cut_from_disk_to_disk(long: list[Packet], tmp_path: Path) -> None:
    log = PacketLog(record(tmp_path / "log", long))
    tracemalloc.start()
    try:
        clip = cut_clip(log, WALL_S, WALL_S + 9, tmp_path / "clip.mp4")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert clip.num_bytes > 12_000_000
    assert most < clip.num_bytes / 4

"""Cameras that send more than anybody can hold: the reader stays small, says what came and which setting bounds it, and nobody else notices."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from child_environment import child_environment
from clips import write_clip
from hostile_streams import (
    TS_BYTES,
    Served,
    endless_ts,
    fragments,
    page_of,
    rtsp_camera,
    whole_pictures,
)
from parameter_set_bits import sps_of
from repository import SUPPORT
from service_fixtures import Start, checkpoint, model, start, video
from supervised import supervised
from waiting import until
from web_fixtures import Site, site
from webrtc_bits import PPS, SPS, START

from stream.codec.decode import Decoder
from stream.codec.h264.access_unit import Canonicaliser
from stream.codec.h264.annexb import split_annexb
from stream.config.configuration import parse
from stream.errors import SettingsError, TooLargeError
from stream.sources import Backoff, open_source
from stream.sources.intake import MAX_OPENING_REQUESTS, MAX_PLAYLIST_BYTES, MAX_RENDITIONS
from stream.sources.joiner import Picture, PictureJoiner
from stream.sources.limits import IngestLimits
from stream.sources.options import OpenOptions
from stream.units import Packet

__all__ = ["checkpoint", "model", "site", "start", "video"]

NUM_PICTURES = 20
PEAK_MIB = 160
"""A reader that reads a small stream has 40 MiB, its template 53; the largest access unit, where it gathers and moves to, is twice 16."""
SENT_BYTES = 64 << 20
"""What a camera gets rid of before it is left: the access unit, and what the system's sockets hold."""
WAIT_S = 120.0


@pytest.fixture(scope="module")
def good_ts(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_clip(tmp_path_factory.mktemp("good") / "good.ts", num_frames=NUM_PICTURES).read_bytes()


@pytest.fixture(scope="module")
def tables(good_ts: bytes) -> bytes:
    """Description, programme and map, before any picture."""
    return good_ts[: 3 * TS_BYTES]


@pytest.fixture(scope="module")
def good_rtp(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    with open_source(str(write_clip(tmp_path_factory.mktemp("rtp") / "good.mp4", num_frames=NUM_PICTURES))) as source:
        return whole_pictures([split_annexb(packet.data) for packet in source])


@pytest.fixture
def serve() -> Iterator[Callable[[Served], Served]]:
    running: list[Served] = []
    yield lambda made: running.append(made) or made  # type: ignore[func-returns-value]
    for each in running:
        each.close()


def became_of(url: str, **limits: float) -> dict[str, Any]:
    """Of one attempt at a camera, by a process that has nothing else to do."""
    command = [sys.executable, str(SUPPORT / "reading_owner.py"), url, json.dumps(limits)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WAIT_S, env=child_environment())
    assert "Traceback" not in done.stderr
    return dict(json.loads(done.stdout))


def check(told: dict[str, Any], *, reason: str = "large_access_unit", setting: str = "ingest.max_access_unit_mb") -> None:
    assert told["skipped"] == {reason: 1}
    assert setting in told["error"]
    assert told["peak_mib"] < PEAK_MIB


@pytest.mark.parametrize("after", [0, NUM_PICTURES])
def test_a_picture_without_end_over_tcp_is_left_with_the_setting_that_bounds_it(
    serve: Callable[[Served], Served], good_ts: bytes, tables: bytes, after: int
) -> None:
    begin = good_ts if after else tables
    camera = serve(Served(lambda served, peer: served.pour(peer, endless_ts(begin))))
    told = became_of(f"tcp://127.0.0.1:{camera.port}")
    check(told)
    assert told["num_packets"] == after
    assert camera.num_bytes < SENT_BYTES


@pytest.mark.parametrize("after", [0, NUM_PICTURES])
def test_fragments_without_end_over_rtsp_are_left_with_the_setting_that_bounds_them(
    serve: Callable[[Served], Served], good_rtp: list[bytes], after: int
) -> None:
    begin = good_rtp if after else []
    camera = serve(rtsp_camera(lambda: chain(begin, fragments(len(begin), time=9000 * after))))
    told = became_of(f"rtsp://127.0.0.1:{camera.port}/cam")
    check(told)
    assert told["num_packets"] == max(0, after - 1), "the last whole picture ends where the next begins"
    assert camera.num_bytes < SENT_BYTES


def test_a_picture_without_end_over_http_and_in_a_segment_is_left_the_same_way(site: Site, tables: bytes) -> None:
    site.pages["/cam.ts"] = page_of(lambda: endless_ts(tables), "video/mp2t")
    site.pages["/cam.m3u8"] = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ncam.ts\n#EXTINF:2,\ncam.ts\n"
    site.pages["/raw"] = page_of(lambda: chain([SPS + PPS + START + b"\x65\x88\x84"], repeat(b"U" * 65536)), "video/h264")
    for path in ("cam.ts", "cam.m3u8", "raw"):
        check(became_of(f"{site.url}/{path}"))


@pytest.mark.parametrize("length", [b"", b"Content-Length: 2000000000\r\n"])
def test_a_jpeg_without_end_is_left_the_same_way(site: Site, length: bytes) -> None:
    begin = b"--b\r\nContent-Type: image/jpeg\r\n" + length + b"\r\n\xff\xd8\xff\xe0"
    site.pages["/jpeg"] = page_of(lambda: chain([begin], repeat(b"U" * 65536)), "multipart/x-mixed-replace; boundary=b")
    check(became_of(f"{site.url}/jpeg"))


def test_a_playlist_without_end_is_left(site: Site) -> None:
    begin = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n"
    site.pages["/long.m3u8"] = page_of(lambda: chain([begin], repeat(b"#EXTINF:2,\nx.ts\n" * 500)), "audio/mpegurl")
    told = became_of(f"{site.url}/long.m3u8")
    check(told, reason="large_playlist", setting=f"a playlist of at most {MAX_PLAYLIST_BYTES} bytes")


@pytest.mark.parametrize("num", [1, 1000])
def test_playlists_that_name_themselves_or_thousands_of_others_are_left(site: Site, num: int) -> None:
    named = b"".join(b"#EXT-X-STREAM-INF:BANDWIDTH=1\nself.m3u8?%d\n" % number for number in range(num))
    site.pages["/self.m3u8"] = b"#EXTM3U\n" + named
    check(became_of(f"{site.url}/self.m3u8"), reason="large_playlist", setting=f"at most {MAX_RENDITIONS} renditions")
    assert len(site.asked) <= MAX_RENDITIONS + 1


def test_segments_without_a_picture_are_left(site: Site, tables: bytes) -> None:
    named = b"".join(b"#EXTINF:2,\npart.ts?%d\n" % number for number in range(10_000))
    site.pages["/empty.m3u8"] = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + named + b"#EXT-X-ENDLIST\n"
    site.pages["/part.ts"] = tables
    told = became_of(f"{site.url}/empty.m3u8")
    assert f"expected a picture within {MAX_OPENING_REQUESTS} playlists and segments" in told["error"]
    assert len(site.asked) == MAX_OPENING_REQUESTS


def test_a_segment_that_is_a_playlist_is_not_followed(site: Site) -> None:
    site.pages["/nest.m3u8"] = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nnest.m3u8\n#EXT-X-ENDLIST\n"
    told = became_of(f"{site.url}/nest.m3u8")
    assert told["peak_mib"] < PEAK_MIB
    assert len(site.asked) < MAX_OPENING_REQUESTS


def test_a_camera_that_sends_too_much_is_tried_again_after_pauses_even_where_publishers_are_not_paused(
    serve: Callable[[Served], Served], tables: bytes
) -> None:
    camera = serve(Served(lambda served, peer: served.pour(peer, endless_ts(tables))))
    pauses: list[float] = []
    backoff = Backoff(first_s=0.01, longest_s=0.02, uniform=lambda low, high: pauses.append(high) or high)  # type: ignore[func-returns-value]
    with supervised(f"tcp://127.0.0.1:{camera.port}", backoff=backoff) as supervisor:
        until(lambda: supervisor.skipped["large_access_unit"] >= 2)
    assert len(pauses) in (camera.num_clients - 1, camera.num_clients)
    assert pauses[:2] == [0.01, 0.02]


def test_a_publisher_that_sends_too_much_is_not_waited_for_at_once() -> None:
    class Door:
        """Publishers come to it; each sends too much."""

        waits, ends = True, False
        num_connects = 0

        def connect(self) -> Any:
            self.num_connects += 1
            raise IngestLimits().large_unit()

        def close(self) -> None: ...

    door, pauses = Door(), []
    backoff = Backoff(first_s=0.01, longest_s=0.01, uniform=lambda low, high: pauses.append(high) or high)  # type: ignore[func-returns-value]
    with supervised("whip", connector=door, backoff=backoff) as supervisor:
        until(lambda: supervisor.skipped["large_access_unit"] >= 3)
    assert len(pauses) in (door.num_connects - 1, door.num_connects)


def test_the_service_tells_it_of_the_camera_and_its_neighbour_goes_on(
    serve: Callable[[Served], Served], start: Start, tables: bytes, video: Path
) -> None:
    camera = serve(Served(lambda served, peer: served.pour(peer, endless_ts(tables))))
    service = start(
        {
            "bad": {"url": f"tcp://127.0.0.1:{camera.port}", "reconnect": {"first_s": 0.5, "longest_s": 1.0}},
            "good": {"url": str(video), "loop": True},
        }
    )
    told = service.camera_when("bad", lambda each: each["drops"].get("large_access_unit", 0) >= 2)
    assert told["frames"] == 0
    told = service.camera_when("bad", lambda each: "ingest.max_access_unit_mb" in each["reason"])
    assert "next attempt in" in told["reason"] or told["reason"].startswith("attempt")
    before = service.camera("good")
    after = service.camera_when("good", lambda each: each["frames"] > before["frames"] + 10)
    assert (after["state"] in ("live", "degraded"), after["reconnects"]) == (True, 0)
    assert "large_access_unit" not in after["drops"]


@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
def test_a_picture_larger_than_the_setting_is_refused_with_its_size(tmp_path: Path, codec: str) -> None:
    options = {} if codec == "libx264" else {"pixels": "yuvj420p"}
    clip = write_clip(tmp_path / "clip.mkv", width=320, height=240, codec=codec, num_frames=3, **options)
    told = became_of(str(clip), max_picture_px=320 * 240 - 1)
    check(told, reason="large_picture", setting="ingest.max_picture_px")
    assert "expected pictures of at most 76799 pixels, got 320x240" in told["error"]
    with open_source(str(clip), options=OpenOptions(limits=IngestLimits(max_picture_px=320 * 240))) as source:
        packets = list(source)
    assert len(packets) == 3
    assert not decoded(packets, 320 * 240 - 1), "whoever decodes has the same bound, should the size change on the way"
    assert decoded(packets, 320 * 240) == 3


def decoded(packets: list[Packet], max_picture_px: int) -> int:
    decoder = Decoder(max_picture_px=max_picture_px)
    return sum(len(decoder.push(packet)) for packet in packets) + len(decoder.flush())


def test_parameter_sets_of_a_hundred_million_pixels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "huge.h264").write_bytes(START + sps_of(10_000, 10_000) + PPS + START + b"\x65\x88\x84" + bytes(2000))
    told = became_of(str(tmp_path / "huge.h264"))
    check(told, reason="large_picture", setting="ingest.max_picture_px")
    assert "got 10000x10000" in told["error"]


def test_an_index_that_needs_more_memory_than_there_is_gives_no_picture(tmp_path: Path) -> None:
    """Sixty million samples of one size take eight bytes of the file, and 4 GB of memory."""
    data = bytearray(write_clip(tmp_path / "clip.mp4").read_bytes())
    sizes, runs, chunks = (data.index(name) + 8 for name in (b"stsz", b"stts", b"stsc"))
    struct.pack_into(">II", data, sizes, 1, 60_000_000)
    struct.pack_into(">III", data, runs, 1, 60_000_000, 1)
    struct.pack_into(">IIII", data, chunks, 1, 1, 60_000_000, 1)
    (tmp_path / "index.mp4").write_bytes(data)
    told = became_of(str(tmp_path / "index.mp4"))
    assert told["num_packets"] == 0
    assert told["peak_mib"] < 700


def test_pictures_that_need_more_memory_than_the_setting_are_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    clip = write_clip(tmp_path / "clip.mkv", width=1920, height=1080, num_frames=12, draw=lambda index: noise, qp="0", g="1")
    told = became_of(str(clip), reader_memory_mb=24)
    check(told, reason="reader_memory", setting="ingest.reader_memory_mb")
    assert "at most 24 MiB" in told["error"]


def test_a_4k_camera_has_room(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "4k.ts", width=3840, height=2160, num_frames=3, preset="ultrafast")
    with supervised(str(clip), can_wait=True) as camera:
        assert sum(1 for _ in iter(lambda: camera.mailbox.get(WAIT_S), None)) == 3
    assert camera.last_error is None


def test_pieces_of_one_picture_without_end_are_told() -> None:
    joiner = PictureJoiner(IngestLimits(max_access_unit_mb=0.1))
    canonical = Canonicaliser()
    begin = canonical.push(SPS + PPS + START + b"\x65\x88\x84\x00\x10")
    piece = canonical.push(START + b"\x65\x00\x84" + b"\x55" * 10_000)
    assert begin is not None
    assert piece is not None
    assert piece.continues
    packet = av.Packet(b"x")
    packet.pts = 1
    assert joiner.push(Picture(packet, begin)) == []
    for _ in range(10):
        assert joiner.push(Picture(packet, piece)) == []
    with pytest.raises(TooLargeError, match=r"at most 0\.1 MiB"):
        joiner.push(Picture(packet, piece))


@pytest.mark.parametrize("name", ["max_access_unit_mb", "max_picture_px", "reader_memory_mb"])
def test_limits_are_settings_with_a_range(name: str) -> None:
    camera = {"cameras": {"front": {"url": "whip"}}}
    assert getattr(parse(camera, {}).ingest.limits(), name) == getattr(IngestLimits(), name)
    assert getattr(parse({**camera, "ingest": {name: 100_000 if name == "max_picture_px" else 100}}, {}).ingest, name)
    with pytest.raises(SettingsError, match=f"ingest.{name}"):
        parse({**camera, "ingest": {name: 0}}, {})
    with pytest.raises(SettingsError, match=f"ingest.{name}: expected a number above zero"):
        IngestLimits(**{name: 0})

"""Real HTTP: playlists, segments, MJPEG and transport streams, passwords and certificates; and what goes wrong."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path
from typing import cast

import av
import numpy as np
from certificates import Certificate
from clips import scene, write_clip
from web_fixtures import WAIT_S, Site, hostile, playlist, read, redirect, said, serve, site

from stream.sources import open_source
from stream.sources.options import OpenOptions

__all__ = ["playlist", "site"]

BOUNDARY = "picture"


def test_a_playlist_gives_the_packets_of_the_recording(site: Site, playlist: Path) -> None:
    serve(site, playlist)
    pulled, recorded = read(f"{site.url}/live.m3u8?token=x"), read(str(playlist / "clip.ts"))
    assert [(p.data, p.pts_s, p.is_key) for p in pulled] == [(p.data, p.pts_s, p.is_key) for p in recorded]
    assert "/part3.ts" in site.asked


def test_a_live_playlist_is_followed_to_its_end(site: Site, playlist: Path) -> None:
    """It names two segments, then all four."""
    serve(site, playlist)
    whole = (playlist / "live.m3u8").read_bytes()
    begun = whole[: whole.index(b"part2.ts")].rpartition(b"#EXTINF")[0]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        page = begun if site.asked.count("/live.m3u8") < 2 else whole
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(page)))
        handler.end_headers()
        handler.wfile.write(page)

    site.pages["/live.m3u8"] = answer
    assert [p.data for p in read(f"{site.url}/live.m3u8")] == [p.data for p in read(str(playlist / "clip.ts"))]
    assert site.asked.count("/live.m3u8") >= 2


def test_a_transport_stream_over_http_gives_its_packets(site: Site, playlist: Path) -> None:
    serve(site, playlist)
    assert len(read(f"{site.url}/clip.ts")) == 40


def test_a_user_and_password_go_to_every_segment_and_are_not_shown(site: Site, playlist: Path) -> None:
    serve(site, playlist)
    site.credentials = "Basic " + base64.b64encode(b"me:p@ss#").decode()
    assert len(read(f"http://me:p%40ss%23@{site.place}/live.m3u8")) == 40
    refused = said(f"http://me:wrong-word@{site.place}/live.m3u8")
    assert "refused the user or password" in refused
    assert "word@" not in refused
    assert refused.startswith(f"http://***@{site.place}")


def test_digest_credentials_open_an_http_camera(site: Site, playlist: Path) -> None:
    serve(site, playlist)
    site.digest = "me:right word"
    assert len(read(f"http://me:right%20word@{site.place}/clip.ts")) == 40
    for user_info in ("me:wrong-word@", ""):
        assert "refused the user or password" in said(f"http://{user_info}{site.place}/clip.ts")


def test_redirects_within_the_web_are_followed(site: Site, playlist: Path) -> None:
    serve(site, playlist)
    site.pages["/old.ts"] = redirect("/clip.ts")
    assert len(read(f"{site.url}/old.ts")) == 40


def test_mjpeg_over_http_is_as_far_apart_as_it_came(site: Site) -> None:
    """Parts of one answer carry no times."""
    draw = scene(160, 96)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        handler.end_headers()
        for index in range(12):
            handler.wfile.write(f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode() + jpeg(draw(index)) + b"\r\n")

    site.pages["/video.mjpg"] = answer
    packets = read(f"{site.url}/video.mjpg", clock=half_seconds())
    assert len(packets) >= 10
    assert {packet.codec for packet in packets} == {"mjpeg"}
    assert [p.media_s for p in packets] == [0.5 * index for index in range(len(packets))]


def half_seconds() -> Callable[[], float]:
    """A clock that is half a second later each time."""
    return count(1000.0, 0.5).__next__


def test_raw_h264_over_http_is_as_far_apart_as_it_came(tmp_path: Path, site: Site) -> None:
    site.pages["/video"] = write_clip(tmp_path / "clip.h264", num_frames=20, bf="0").read_bytes()
    packets = read(f"{site.url}/video", clock=half_seconds())
    assert [p.media_s for p in packets] == [0.5 * index for index in range(20)]


def jpeg(picture: np.ndarray) -> bytes:
    encoder = cast(av.VideoCodecContext, av.CodecContext.create("mjpeg", "w"))
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = frame.width, frame.height, "yuvj420p", Fraction(1, 10)
    return b"".join(bytes(packet) for packet in encoder.encode(frame))


def test_https_needs_a_certificate_that_is_trusted(certificate: Certificate, playlist: Path) -> None:
    site = Site(certificate)
    try:
        serve(site, playlist)
        assert "its certificate is not one that this machine trusts; set tls_ca_file" in said(f"{site.url}/live.m3u8")
        for options in (OpenOptions(tls_ca_file=certificate.public), OpenOptions(tls_verify=False)):
            with open_source(f"{site.url}/live.m3u8", options=options) as source:
                assert len(list(source)) == 40
    finally:
        site.close()


def test_errors_of_the_web_are_named(site: Site, playlist: Path) -> None:
    site.pages["/text.ts"] = b"not a video " * 5000
    site.pages["/round.ts"] = redirect("/round.ts")
    site.pages["/live.m3u8"] = hostile("gone.ts")
    assert "the server has no /nothing.m3u8 (404); check the path" in said(f"{site.url}/nothing.m3u8")
    assert "expected a video track" in said(f"{site.url}/text.ts")
    assert "redirects without end" in said(f"{site.url}/round.ts")
    assert "the server has no /gone.ts (404)" in said(f"{site.url}/live.m3u8")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = said(f"http://127.0.0.1:{silent.getsockname()[1]}/x.ts", OpenOptions(timeout_s=0.3))
        assert "no answer within 0.3 s" in words
        port = silent.getsockname()[1]
    assert "connection refused" in said(f"http://127.0.0.1:{port}/x.ts")
    assert "expected TLS, got something else" in said(f"https://{site.place}/live.m3u8")


def test_a_stream_over_http_that_falls_silent_is_an_error(site: Site, playlist: Path) -> None:
    released = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write((playlist / "clip.ts").read_bytes())
        handler.wfile.flush()
        released.wait(WAIT_S)

    site.pages["/clip.ts"] = answer
    try:
        assert "no answer within 0.5 s" in said(f"{site.url}/clip.ts", OpenOptions(timeout_s=WAIT_S, stale_s=0.5))
    finally:
        released.set()

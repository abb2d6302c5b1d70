"""Real HTTP: playlists, segments, MJPEG and transport streams from a server of the standard library; and playlists that want out."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from certificates import Certificate
from clips import scene, write_clip

from stream.errors import SourceError
from stream.sources import open_source
from stream.sources.options import OpenOptions
from stream.sources.policy import SourcePolicy
from stream.units import Packet

WAIT_S = 20.0
OPTIONS = OpenOptions(timeout_s=WAIT_S)
BOUNDARY = "picture"


class Site:
    """A web server on a free port. `pages`: path -> bytes, or what answers the request; `asked`: paths, in order."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        self.pages: dict[str, bytes | Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        self.credentials: str | None = None
        self.digest: str | None = None
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.answer(self)

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.both)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.place = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{'https' if certificate else 'http'}://{self.place}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        page = self.pages.get(handler.path.partition("?")[0])
        if self.credentials is not None and handler.headers.get("Authorization") != self.credentials:
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
            handler.end_headers()
        elif self.digest is not None and not is_digest_of(self.digest, handler):
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Digest realm="camera", nonce="n", algorithm=MD5')
            handler.end_headers()
        elif page is None:
            handler.send_error(404)
        elif callable(page):
            page(handler)
        else:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(page)))
            handler.end_headers()
            handler.wfile.write(page)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(WAIT_S)


def is_digest_of(credentials: str, handler: BaseHTTPRequestHandler) -> bool:
    """RFC 2069, as cameras do it."""
    told = dict(re.findall(r'(\w+)="([^"]*)"', handler.headers.get("Authorization") or ""))
    user, password = credentials.split(":")
    first, second = f"{user}:camera:{password}", f"GET:{handler.path}"
    words = [md5(first.encode()).hexdigest(), "n", md5(second.encode()).hexdigest()]
    return told.get("response") == md5(":".join(words).encode()).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def redirect(url: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.end_headers()

    return answer


def read(url: str, **more: object) -> list[Packet]:
    with open_source(url, options=OPTIONS, **more) as source:  # type: ignore[arg-type]
        return list(source)


def said(url: str, options: OpenOptions = OPTIONS, policy: SourcePolicy | None = None) -> str:
    """The error of opening and reading."""
    with pytest.raises(SourceError) as caught, open_source(url, options=options, policy=policy) as source:
        list(source)
    return str(caught.value)


@pytest.fixture(scope="module")
def playlist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """live.m3u8 and its segments, made by FFmpeg; clip.ts beside them, the same packets."""
    folder = tmp_path_factory.mktemp("hls")
    clip = write_clip(folder / "clip.ts", num_frames=40, fps=10, g="10")
    with av.open(str(clip)) as recorded:
        options = {"hls_time": "1", "hls_list_size": "0", "hls_segment_filename": str(folder / "part%d.ts")}
        with av.open(str(folder / "live.m3u8"), "w", format="hls", options=options) as out:
            track = recorded.streams.video[0]
            stream = out.add_stream_from_template(track)
            for packet in recorded.demux(track):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    return folder


def serve(site: Site, folder: Path, under: str = "/") -> None:
    site.pages |= {f"{under}{file.name}": file.read_bytes() for file in folder.iterdir()}


# What works


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


# What wants out

SECRET = "file that nobody may read"


def hostile(segment: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{segment}\n#EXT-X-ENDLIST\n".encode()


@pytest.mark.parametrize(
    "segment",
    [
        "file://{secret}",
        "file:{secret}",
        "{secret}",
        "concat:{secret}|{secret}",
        "subfile,,start,0,end,9,,:{secret}",
        "crypto+file://{secret}",
        "data:video/mp2t;base64,R0AA",
        "tcp://{place}/x.ts",
        "rtsp://{place}/x.ts",
        "gopher://{place}/_x.ts",
        "http://a@b@{place}/x.ts",
        "http://2130706433/x.ts",
    ],
)
def test_a_playlist_leads_nowhere_but_to_the_web(tmp_path: Path, site: Site, segment: str) -> None:
    secret = write_clip(tmp_path / "secret.ts", num_frames=5)
    site.pages["/live.m3u8"] = hostile(segment.format(secret=secret, place=site.place))
    assert site.place in said(f"{site.url}/live.m3u8")
    assert not [path for path in site.asked if path.startswith("/x.ts")]


@pytest.mark.parametrize("line", ['#EXT-X-KEY:METHOD=AES-128,URI="file://{secret}"', '#EXT-X-MAP:URI="file://{secret}"'])
def test_keys_and_headers_of_a_playlist_lead_nowhere_else_either(tmp_path: Path, site: Site, playlist: Path, line: str) -> None:
    secret = write_clip(tmp_path / "secret.ts", num_frames=5)
    serve(site, playlist)
    site.pages["/live.m3u8"] = (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{line.format(secret=secret)}\n#EXTINF:2,\npart0.ts\n#EXT-X-ENDLIST\n".encode()
    )
    assert "where http:// or https:// is expected" in said(f"{site.url}/live.m3u8")


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/x.ts", "rtsp://127.0.0.1/x", "data:video/mp2t,x", "http://a@b@127.0.0.1/x"],
)
def test_a_redirect_leads_nowhere_but_to_the_web(site: Site, target: str) -> None:
    site.pages["/clip.ts"] = redirect(target)
    words = said(f"{site.url}/clip.ts")
    assert words.startswith(f"{site.url}/clip.ts: ")
    assert (
        "neither http:// nor https://" in words or "where http:// or https:// is expected" in words or "expected one @" in words
    )


def test_redirects_and_segments_stay_with_the_hosts_that_are_allowed(site: Site, playlist: Path) -> None:
    """An allowed server names another: one that only we can reach."""
    serve(site, playlist)
    inner = f"http://127.0.0.2:{site.place.partition(':')[2]}/clip.ts"
    site.pages |= {"/moved.ts": redirect(inner), "/live2.m3u8": hostile(inner)}
    allowed = SourcePolicy(hosts=("127.0.0.1/32",))
    assert len(read(f"{site.url}/live.m3u8", policy=allowed)) == 40
    num_asked = len(site.asked)
    for page in ("/moved.ts", "/live2.m3u8"):
        assert "127.0.0.2 is not among ingest.hosts" in said(site.url + page, policy=allowed)
    assert site.asked[num_asked:] == ["/moved.ts", "/live2.m3u8"]


def test_redirects_and_segments_keep_to_the_schemes_that_are_allowed(site: Site) -> None:
    site.pages |= {"/moved.ts": redirect("https://127.0.0.1/x.ts"), "/live.m3u8": hostile("https://127.0.0.1/x.ts")}
    for page in ("/moved.ts", "/live.m3u8"):
        assert "https is not among ingest.schemes" in said(site.url + page, policy=SourcePolicy(schemes=("http",)))


def test_a_password_does_not_follow_a_redirect_to_another_server(site: Site, playlist: Path) -> None:
    other = Site()
    try:
        serve(other, playlist)
        heard: list[str | None] = []

        def listen(handler: BaseHTTPRequestHandler) -> None:
            heard.append(handler.headers.get("Authorization"))
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
            handler.end_headers()

        other.pages["/clip.ts"] = listen
        site.pages["/clip.ts"] = redirect(f"{other.url}/clip.ts")
        assert "refused the user or password" in said(f"http://me:word@{site.place}/clip.ts")
        assert heard == [None]
    finally:
        other.close()


@pytest.mark.parametrize("name", ["list.m3u8", "list.ts", "list.mp4", "list.txt"])
def test_a_file_on_disk_is_never_a_playlist(tmp_path: Path, name: str) -> None:
    write_clip(tmp_path / "clip.ts", num_frames=5)
    (tmp_path / name).write_bytes(hostile("clip.ts"))
    assert "expected a video file" in said(str(tmp_path / name))


def test_a_concatenation_on_disk_is_never_read(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", num_frames=5)
    (tmp_path / "list.ffconcat").write_text(f"ffconcat version 1.0\nfile {clip.name}\n")
    (tmp_path / "list.sdp").write_text(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    for name in ("list.ffconcat", "list.sdp"):
        assert "expected a video file" in said(str(tmp_path / name))


def test_an_encrypted_playlist_is_refused(site: Site, playlist: Path) -> None:
    serve(site, playlist)
    key = '#EXT-X-KEY:METHOD=AES-128,URI="key.bin"'
    site.pages["/key.bin"] = bytes(16)
    site.pages["/live.m3u8"] = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{key}\n#EXTINF:2,\npart0.ts\n#EXT-X-ENDLIST\n".encode()
    assert "it names crypto+http: where http:// or https:// is expected" in said(f"{site.url}/live.m3u8")


# What goes wrong


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

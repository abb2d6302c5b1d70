"""Playlists and redirects that want out: to files, other schemes, other hosts. They lead nowhere."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from clips import write_clip
from web_fixtures import Site, hostile, playlist, read, redirect, said, serve, site

from stream.sources.policy import SourcePolicy

__all__ = ["playlist", "site"]


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

"""A web server of the standard library with a playlist, as cameras and servers have them. No test in here."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest
from certificates import Certificate
from clips import copy_packets, write_clip

from stream.errors import SourceError
from stream.sources import open_source
from stream.sources.options import OpenOptions
from stream.sources.policy import SourcePolicy
from stream.units import Packet

WAIT_S = 60.0
OPTIONS = OpenOptions(timeout_s=WAIT_S)


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


def hostile(segment: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{segment}\n#EXT-X-ENDLIST\n".encode()


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
            copy_packets(recorded, out)
    return folder


def serve(site: Site, folder: Path, under: str = "/") -> None:
    site.pages |= {f"{under}{file.name}": file.read_bytes() for file in folder.iterdir()}

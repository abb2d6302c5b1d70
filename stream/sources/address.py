"""Camera and file addresses: what kind of source one names, and how to show it without its credentials.

In: the URL from a setting. Out: `Address`. Anything that two programs could read in two ways is refused here, before FFmpeg or a resolver
sees it: FFmpeg's own `concat:`, `subfile,,`, `data:`; a raw `@` or `#` in a password; hosts written as integers or in other alphabets.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from stream.errors import SourceError

Kind = Literal["file", "pull", "listen", "whip", "replay", "hls", "http", "mpegts", "srt"]
"""`pull`: RTSP, we ask. `listen`: RTSP, a publisher comes. `whip`: WebRTC, a publisher comes. `replay`: a folder of recorded packets.
`hls`: a playlist. `http`: one long answer (MPEG-TS, MJPEG, a file). `mpegts`: a transport stream over UDP or TCP. `srt`: the same over SRT."""

SCHEMES: dict[str, Kind] = {
    "file": "file",
    "rtsp": "pull",
    "rtsps": "pull",
    "http": "http",
    "https": "http",
    "udp": "mpegts",
    "tcp": "mpegts",
    "srt": "srt",
}
"""What stands before `://`, and the kind it names; `listen:`, `whip` and `replay:` are written without one."""
_LISTEN, _REPLAY, _WHIP = "listen:", "replay:", "whip"
_PLAYLIST = (".m3u8", ".m3u")
_NEEDS_PORT = frozenset({"udp", "tcp", "srt"})
_USER_INFO = re.compile(r"(?<=://)[^/\s]*@")
_SECRET_QUERY = re.compile(r"(?i)(?<=[?&])((?:user|username|pass|passwd|password|passphrase|pwd|token|auth|key)=)[^&#\s]*")
_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+[:,]")
"""How FFmpeg's protocols begin (`concat:`, `subfile,,start,...:`); a drive letter alone is a Windows path."""
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]|[^\x00-\x7f]")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_EXPECTED = "a path, file://, rtsp://, rtsps://, listen:rtsp://, http(s)://, udp://, tcp://, replay:FOLDER or whip"


def redact(text: str) -> str:
    """`text` with the user, password and secret query values of every URL in it replaced by `***`."""
    return _SECRET_QUERY.sub(r"\1***", _USER_INFO.sub("***@", text))


@dataclass(frozen=True, slots=True)
class Address:
    """Where packets come from. `url`: as it was written (credentials included, so never shown), or the path of a file or a folder; `shown` is
    redacted. `opened`: what a policy puts in its place, a resolved path or a URL with an IP address."""

    kind: Kind
    url: str
    opened: str = ""

    @property
    def target(self) -> str:
        """What is opened."""
        return self.opened or self.url

    @property
    def shown(self) -> str:
        return redact(self.url)

    @property
    def is_live(self) -> bool:
        return self.kind not in ("file", "replay")

    @property
    def scheme(self) -> str:
        """As `ingest.schemes` names it: what stands before `://`, or `listen`, `whip`, `replay`, `file`."""
        return urlsplit(self.url).scheme.lower() if self.kind in ("pull", "hls", "http", "mpegts", "srt") else self.kind

    @property
    def host(self) -> str | None:
        """The other side's name or address, in small letters; None where there is none (a file), or where it comes to us."""
        return urlsplit(self.url).hostname if self.kind in ("pull", "hls", "http", "mpegts", "srt") else None


def parse_address(url: str, *, listen: bool = False) -> Address:
    """Kind of source from a URL; `listen` says of an rtsp:// URL that publishers come to it, as `listen:rtsp://` does.

    Raises `SourceError` for a kind that we do not read, and for a URL that could be read in two ways.
    """
    if url == _WHIP:
        return Address("whip", url)
    if url.startswith(_REPLAY):
        return Address("replay", _path(url.removeprefix(_REPLAY), shown=url))
    if url.startswith(_LISTEN):
        url, listen = url[len(_LISTEN) :], True
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if listen and scheme != "rtsp":
        if scheme == "rtsps":
            raise SourceError(f"{redact(url)}: listening is for rtsp:// alone, got rtsps://")
        raise SourceError(f"{redact(url)}: expected listen:rtsp://HOST:PORT/PATH")
    if not scheme:
        return Address("file", _path(url, shown=url))
    kind = SCHEMES.get(scheme)
    if kind is None:
        raise SourceError(f"{redact(url)}: expected {_EXPECTED}, got {redact(scheme)}://")
    if kind == "file":
        return Address("file", _file_url(url))
    check_url(url)
    if kind == "http" and urlsplit(url).path.lower().endswith(_PLAYLIST):
        kind = "hls"
    return Address("listen" if listen else kind, url)


def _path(path: str, *, shown: str) -> str:
    if not path or "\0" in path:
        raise SourceError(f"{redact(shown)}: expected a path, got {'a zero byte in it' if path else 'nothing'}")
    if _PROTOCOL.match(path):
        raise SourceError(
            f"{redact(shown)}: expected {_EXPECTED}, got something like {_PROTOCOL.match(path)[0]!r}; "  # type: ignore[index]
            "a file whose name has a colon or comma is written ./NAME"
        )
    return path


def _file_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise SourceError(f"{redact(url)}: expected file:///PATH on this machine") from None
    if parts.netloc.lower() not in ("", "localhost"):
        raise SourceError(f"{redact(url)}: expected file:///PATH on this machine, got the host {redact(parts.netloc)}")
    if parts.query or parts.fragment:
        raise SourceError(f"{redact(url)}: expected file:///PATH, got a ? or #; write them %3F and %23")
    return _path(unquote(parts.path), shown=url)


def check_url(url: str) -> SplitResult:
    """The parts of a network URL. Raises `SourceError` when it could be read in two ways; then no part of it is shown, for nobody knows which
    part is the password."""
    hidden = f"{url.partition('://')[0]}://***"
    if _UNSAFE.search(url):
        raise SourceError(f"{hidden}: expected plain ASCII without spaces, line ends and backslashes; write others as %XX")
    if "#" in url:
        raise SourceError(f"{hidden}: a # is not sent to a camera; in a password write it %23")
    try:
        parts = urlsplit(url)
        user_info, _, place = parts.netloc.rpartition("@")
        if "@" in user_info or ("@" in parts.path + parts.query and not _is_place(place)):
            raise SourceError(f"{hidden}: expected one @, between password and host; in a password write it %40, and / as %2F")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SourceError(
            f"{hidden}: expected scheme://HOST:PORT/PATH, a port from 1 to 65535; in a password write / as %2F"
        ) from None
    if not host or not _is_host(host):
        raise SourceError(
            f"{redact(url)}: expected a host name, an IPv4 address in four decimal parts or [IPv6], got {host or 'nothing'}"
        )
    if port == 0 or (port is None and parts.scheme.lower() in _NEEDS_PORT):
        raise SourceError(f"{redact(url)}: expected a port from 1 to 65535, as {parts.scheme}://{host}:5000")
    return parts


def _is_place(place: str) -> bool:
    """Whether text is HOST or HOST:PORT, so that an @ behind it belongs to the path."""
    host, colon, port = place.rpartition(":")
    return bool(_HOST.fullmatch(place)) or place.endswith("]") or (bool(colon) and bool(host) and port.isdigit())


def _is_host(host: str) -> bool:
    """A name, or an address written in the one usual way: resolvers read 2130706433, 0x7f.1 and 0177.0.0.1 as 127.0.0.1, too."""
    if ":" in host:
        return _is_ip(host)
    if not _HOST.fullmatch(host):
        return False
    last_label = host.rpartition(".")[2]
    return not _NUMBER.fullmatch(last_label) or _is_ip(host)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

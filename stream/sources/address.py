"""Camera and file addresses: what kind of source one names, and how to show it without its credentials.

In: the URL from a setting. Out: `Address`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from stream.errors import SourceError

Kind = Literal["file", "pull", "listen"]
_LISTEN = "listen:"
_PULL_SCHEMES = ("rtsp", "rtsps")
_USER_INFO = re.compile(r"(?<=://)[^/\s]*@")
_SECRET_QUERY = re.compile(r"(?i)(?<=[?&])((?:user|username|pass|passwd|password|pwd|token|auth|key)=)[^&#\s]*")


def redact(text: str) -> str:
    """`text` with the user, password and secret query values of every URL in it replaced by `***`."""
    return _SECRET_QUERY.sub(r"\1***", _USER_INFO.sub("***@", text))


@dataclass(frozen=True, slots=True)
class Address:
    """Where packets come from. `url` is what FFmpeg opens (credentials included, so never shown); `shown` is redacted."""

    kind: Kind
    url: str

    @property
    def shown(self) -> str:
        return redact(self.url)

    @property
    def is_live(self) -> bool:
        return self.kind != "file"


def parse_address(url: str, *, listen: bool = False) -> Address:
    """Kind of source from a URL: a path or `file://`, `rtsp://` to pull from, `listen:rtsp://HOST:PORT/PATH` to be pushed to.

    Raises `SourceError` for a scheme that we do not read.
    """
    if url.startswith(_LISTEN):
        url, listen = url[len(_LISTEN) :], True
    scheme = urlsplit(url).scheme.lower() if "://" in url else ""
    if scheme in _PULL_SCHEMES:
        if listen and scheme == "rtsps":
            raise SourceError(f"{redact(url)}: listening is for rtsp:// alone, got rtsps://")
        return Address("listen" if listen else "pull", url)
    if scheme not in ("", "file"):
        raise SourceError(f"{redact(url)}: expected a path, file://, rtsp:// or listen:rtsp://, got {scheme}://")
    if listen:
        raise SourceError(f"{redact(url)}: expected listen:rtsp://HOST:PORT/PATH")
    return Address("file", unquote(urlsplit(url).path) if scheme else url)

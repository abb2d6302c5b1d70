"""What an offer must tell of its transport before a connection can be made: ICE credentials, a certificate's fingerprint, who begins DTLS.

In: the lines of an offer, its head and its media sections. Out: nothing, or `RefusalError` (422). aiortc takes these for granted: without
them it answers, and fails later, when nobody is left to be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from stream.webrtc.errors import RefusalError, bad_sdp

_NEEDED: Mapping[str, re.Pattern[str]] = {
    "ice-ufrag": re.compile(r"[A-Za-z0-9+/]{4,256}"),  # RFC 8839 5.4
    "ice-pwd": re.compile(r"[A-Za-z0-9+/]{22,256}"),
    "setup": re.compile(r"actpass|active|passive"),  # RFC 4145 4; holdconn makes no connection
}
_FINGERPRINT = re.compile(r"(\S+) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)")
"""RFC 8122 5."""
_DIGEST_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""What aiortc can check a certificate with."""


def check_transport(head: list[str], sections: list[list[str]]) -> None:
    """Raises `RefusalError` that names the section and what it lacks. What stands in the head holds for every section."""
    for number, section in enumerate(sections, 1):
        for name, pattern in _NEEDED.items():
            got = _values(name, section) or _values(name, head)
            if not got or not all(pattern.fullmatch(each) for each in got):
                raise _lacking(number, section, f"a={name}", got)
        fingerprints = [*_values("fingerprint", head), *_values("fingerprint", section)]
        if not any(map(_is_known, fingerprints)) or not all(map(_is_fingerprint, fingerprints)):
            raise _lacking(number, section, f"a=fingerprint of {', '.join(_DIGEST_BYTES)}", fingerprints)
    _check_bundle(head, [_values("mid", section) for section in sections])


def _check_bundle(head: list[str], mids: list[list[str]]) -> None:
    """Sections that share a transport are named by what they are called (RFC 9143 7)."""
    named = [mid for each in mids for mid in each]
    if any(len(each) > 1 for each in mids) or len(set(named)) < len(named):
        raise bad_sdp("expected one a=mid in each media section, each of its own, got another")
    for group in _values("group", head):
        semantics, *items = group.split() or [""]
        if semantics == "BUNDLE" and not set(items) <= set(named):
            raise bad_sdp("expected a=group:BUNDLE with names of media sections (a=mid), got another")


def _values(name: str, lines: Iterable[str]) -> list[str]:
    start = f"a={name}:"
    return [line.removeprefix(start).strip() for line in lines if line.startswith(start)]


def _is_fingerprint(text: str) -> bool:
    return _FINGERPRINT.fullmatch(text) is not None


def _is_known(text: str) -> bool:
    found = _FINGERPRINT.fullmatch(text)
    return found is not None and _DIGEST_BYTES.get(found[1].lower()) == len(found[2].split(":"))


def _lacking(number: int, section: list[str], expected: str, got: list[str]) -> RefusalError:
    kind = section[0].removeprefix("m=").split(" ")[0][:20]
    what = "another" if got else "none"
    return bad_sdp(f"media section {number} ({kind}): expected {expected}, got {what}; send an offer of a WebRTC client")

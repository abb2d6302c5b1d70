"""Session descriptions as text: an offer cut down to what we take, the answer put back in the offer's words, and ICE fragments.

aiortc negotiates H.264 of two profiles and refuses a media section of which it knows no codec. We decode nothing, so any
profile will do. `Offer` therefore shows aiortc the one H.264 payload that we chose, under a profile that it knows, and gives the
answer the profile that was offered. Candidates hidden behind a multicast name and the end of candidates are left out: such a client is
found by its own checks (peer-reflexive, RFC 8445 7.3.1.3), and it may be late.

In: SDP of a client (RFC 8866, RFC 9429), `application/trickle-ice-sdpfrag` (RFC 8840). Out: `Offer`, `Fragment`, or `RefusalError`.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from http import HTTPStatus

from stream.codec.h264.annexb import join_annexb
from stream.webrtc.errors import RefusalError, bad_sdp
from stream.webrtc.transport import check_transport

KNOWN_PROFILE = "42e01f"
"""Constrained baseline 3.1, which every WebRTC library knows (RFC 7742 6.2)."""
MAX_SECTIONS = 8
MAX_CANDIDATES = 64
_RTPMAP = re.compile(r"a=rtpmap:(\d+) ([^/]+)/(\d+)")
_FMTP = re.compile(r"a=fmtp:(\d+) (.*)")
_ABOUT_PAYLOAD = re.compile(r"a=(?:rtpmap|fmtp|rtcp-fb):(\S+)")
_PROFILE = re.compile(r"profile-level-id=[0-9A-Fa-f]{6}")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_LARGEST = {1: 256, 3: 2**31 - 1, 5: 65535}
"""Of a candidate: component, priority and port, by where they stand (RFC 8839 5.1)."""
_LINE = re.compile(r"[a-z]=[^\x00\r\n]*")


@dataclass(frozen=True, slots=True)
class Payload:
    """One H.264 payload type of an offer."""

    number: str
    parameters: str

    def value(self, key: str) -> str:
        for item in self.parameters.split(";"):
            name, _, value = item.strip().partition("=")
            if name.lower() == key:
                return value.strip()
        return ""

    @property
    def profile(self) -> str:
        """profile-level-id; RFC 6184 8.1 says what its absence means."""
        return self.value("profile-level-id") or KNOWN_PROFILE

    def parameter_sets(self) -> bytes:
        """Those told in the offer, as Annex B (RFC 6184 8.1, sprop-parameter-sets); empty when there are none, or not in base64."""
        try:
            return join_annexb(
                [base64.b64decode(part, validate=True) for part in self.value("sprop-parameter-sets").split(",") if part]
            )
        except binascii.Error:
            return b""


class Offer:
    """An offer that can be answered. `sends`: we want a section that sends to us (WHIP), else one that receives (WHEP).

    `profile` prefers, among several H.264 payloads, the one of this profile (the first two bytes of profile-level-id, in hexadecimal).
    Raises `RefusalError`: 422 for what is no offer, or sends the wrong way; 406 for one without H.264."""

    def __init__(self, body: bytes, *, sends: bool, profile: str = "") -> None:
        lines = _lines(body)
        starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
        if not starts or len(starts) > MAX_SECTIONS:
            raise bad_sdp(f"expected an offer of 1 to {MAX_SECTIONS} media sections, got {len(starts)}")
        self._head = lines[: starts[0]]
        self._sections = [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
        if any(section[0].startswith("m=application") for section in self._sections):
            raise bad_sdp("expected audio and video alone, got a data channel; leave it out")
        self._video = self._find_video(sends)
        self.payload = self._choose(profile)
        check_transport(self._head, self._sections)

    def _find_video(self, sends: bool) -> int:
        wanted = ("sendrecv", "sendonly") if sends else ("sendrecv", "recvonly")
        videos = [index for index, section in enumerate(self._sections) if section[0].startswith("m=video")]
        for index in videos:
            if _direction(self._sections[index]) in wanted:
                return index
        got = _direction(self._sections[videos[0]]) if videos else "none"
        raise bad_sdp(f"expected a video section that is {wanted[1]}, got {got}")

    def _choose(self, profile: str) -> Payload:
        section = self._sections[self._video]
        names = {match[1]: match[2].upper() for line in section if (match := _RTPMAP.match(line))}
        parameters = {match[1]: match[2] for line in section if (match := _FMTP.match(line))}
        order = [number for number in section[0].split()[3:] if names.get(number) == "H264"]
        payloads = [Payload(number, parameters.get(number, "")) for number in order]
        usable = [payload for payload in payloads if payload.value("packetization-mode") == "1"]
        if not usable:
            offered = ", ".join(sorted(set(names.values()) - {"RTX", "RED", "ULPFEC", "FLEXFEC-03"})) or "no codec"
            got = "H.264 with packetization-mode 0 alone" if payloads else offered
            raise RefusalError(
                HTTPStatus.NOT_ACCEPTABLE,
                "no_h264",
                f"expected an offer with H.264, packetization-mode=1, got {got}; set the encoder to H.264 (x264, baseline)",
                expected="H264/90000 with packetization-mode=1",
                got=got,
            )
        return next((each for each in usable if profile and each.profile.lower().startswith(profile.lower())), usable[0])

    def for_aiortc(self) -> str:
        """The offer that aiortc sees: every section, other media inactive, candidates that it can use."""
        sections = [
            self._shown_video(section) if index == self._video else _silent(section)
            for index, section in enumerate(self._sections)
        ]
        lines = [*self._head, *(line for section in sections for line in section if not _is_left_out(line))]
        return "\r\n".join(lines) + "\r\n"

    def _shown_video(self, section: list[str]) -> list[str]:
        number = self.payload.number
        resent = {match[1] for line in section if (match := _FMTP.match(line)) and Payload("", match[2]).value("apt") == number}
        first = section[0].split()
        shown = [" ".join([*first[:3], number, *(each for each in first[3:] if each in resent)])]
        for line in section[1:]:
            about = _ABOUT_PAYLOAD.match(line)
            if line.startswith(f"a=fmtp:{number} ") or (about and about[1] not in {number, "*"} | resent):
                continue
            shown.append(line)
        return [*shown, f"a=fmtp:{number} {_fmtp(KNOWN_PROFILE)}"]

    def answer(self, sdp: str) -> str:
        """aiortc's answer in the words of the offer: the profile that was offered."""
        number, profile = self.payload.number, self.payload.profile
        lines = [
            _PROFILE.sub(f"profile-level-id={profile}", line) if line.startswith(f"a=fmtp:{number} ") else line
            for line in sdp.splitlines()
        ]
        return "\r\n".join(lines) + "\r\n"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate of a fragment, for the media section `mid`; `line` is what follows `a=candidate:`."""

    mid: str
    line: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a PATCH carries."""

    username: str
    password: str
    candidates: tuple[Candidate, ...]


def parse_fragment(body: bytes) -> Fragment:
    """Raises `RefusalError` (422) for what is no fragment. Candidates that need a multicast name to be asked are left out."""
    lines = _lines(body)
    values: dict[str, str] = {}
    candidates = []
    for line in lines:
        key, _, value = line.removeprefix("a=").partition(":")
        if key == "candidate" and not _is_left_out(line):
            candidates.append(Candidate(values.get("mid", "0"), _checked(value)))
        elif key == "mid":
            values["mid"] = value
        elif key in ("ice-ufrag", "ice-pwd"):
            values.setdefault(key, value)
    if len(candidates) > MAX_CANDIDATES:
        raise bad_sdp(f"expected at most {MAX_CANDIDATES} candidates, got {len(candidates)}")
    return Fragment(values.get("ice-ufrag", ""), values.get("ice-pwd", ""), tuple(candidates))


def _checked(candidate: str) -> str:
    """Raises `RefusalError` unless it reads foundation, component, transport, priority, address, port, `typ`, type (RFC 8839 5.1)."""
    parts = candidate.split()
    if len(parts) < 8 or parts[6] != "typ" or not all(_is_number(parts[index], most) for index, most in _LARGEST.items()):
        raise bad_sdp("expected candidates of the form `FOUNDATION COMPONENT udp PRIORITY ADDRESS PORT typ TYPE`, got another")
    return candidate


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= most


def _lines(body: bytes) -> list[str]:
    try:
        lines = [line for line in body.decode("utf-8").splitlines() if line]
    except UnicodeDecodeError:
        raise bad_sdp("expected a session description in UTF-8, got other bytes") from None
    if not lines or not all(_LINE.fullmatch(line) for line in lines):
        raise bad_sdp("expected a session description (lines of `letter=value`), got something else")
    return lines


def _direction(section: list[str]) -> str:
    """The direction of a section, `sendrecv` where none is told (RFC 8866 6.7)."""
    return next((line[2:] for line in section if line[2:] in _DIRECTIONS), "sendrecv")


def _silent(section: list[str]) -> list[str]:
    """The same section, inactive: answered, and nothing flows."""
    return [*(line for line in section if line[2:] not in _DIRECTIONS), "a=inactive"]


def _fmtp(profile: str) -> str:
    return f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"


def _is_left_out(line: str) -> bool:
    return line == "a=end-of-candidates" or (line.startswith("a=candidate:") and ".local " in line)

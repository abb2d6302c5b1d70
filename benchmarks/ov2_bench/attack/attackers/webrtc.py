"""WebRTC: offers without a fingerprint, mutated offers, and nonsense for the sessions that came of them.

In: a scene, a number of cases. Out: cases in its ledger.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from ov2_bench.attack.cases import any_bytes, any_text, flipped
from ov2_bench.attack.judgement import Judge, answered, fair, refused
from ov2_bench.attack.scene import Scene
from ov2_bench.attack.target import CAMERA

SDP, FRAGMENT = {"Content-Type": "application/sdp"}, {"Content-Type": "application/trickle-ice-sdpfrag"}
PUBLISHED = "phone"
OFFER = (
    "v=0", "o=- 4611731400430051336 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0", "a=msid-semantic: WMS",
    "m=video 9 UDP/TLS/RTP/SAVPF 98 99", "c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0", "a=ice-ufrag:4ZcD",
    "a=ice-pwd:2/1muCWoOi3uLifh0NuRHlhx",
    "a=fingerprint:sha-256 " + ":".join(32 * ["7B"]), "a=setup:actpass", "a=mid:0", "a={direction}", "a=rtcp-mux", "a=rtcp-rsize",
    "a=rtpmap:98 H264/90000", "a=rtcp-fb:98 nack", "a=rtcp-fb:98 nack pli",
    "a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", "a=rtpmap:99 rtx/90000", "a=fmtp:99 apt=98",
)  # fmt: skip
"""As a browser's, with nobody at its end: no candidates."""
NUMBER_LIKE = ("0", "-1", "99999999999999999999", "65536", "NaN", "")


async def strike(scene: Scene, count: int) -> None:
    for path, direction in ((f"/whep/{CAMERA}", "recvonly"), (f"/whip/{PUBLISHED}", "sendonly")):
        offer = _lines(direction)
        bare = [line for line in offer if not line.startswith("a=fingerprint")]
        await _post(scene, path, bare, "an offer without a fingerprint", refused(422))
        await _post(
            scene,
            path,
            [line for line in bare if not line.startswith("a=setup")],
            "without fingerprint and setup",
            refused(422),
        )
        for _ in range(count // 2):
            mutated = _mutated(offer, scene.rng)
            await _post(scene, path, mutated, f"a mutated offer {_difference(offer, mutated)}", fair)
    await _sessions(scene, max(2, count // 20))
    await scene.honest("offers that are none")


def _lines(direction: str) -> list[str]:
    return [line.replace("{direction}", direction) for line in OFFER]


def offer_bytes(direction: str) -> bytes:
    """A whole offer, that is taken."""
    return ("\r\n".join(_lines(direction)) + "\r\n").encode()


async def _post(scene: Scene, path: str, lines: list[str] | bytes, what: str, judge: Judge) -> None:
    """One offer; a session that comes of it is ended, so that there is a place for the next."""
    body = lines if isinstance(lines, bytes) else ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")
    reply = await scene.case("POST", path, what=f"{path}: {what}", body=body, headers=SDP, judge=judge)
    if reply.status == 201 and (place := reply.headers.get("location", "")):
        await scene.case("DELETE", place, what=f"the end of {path}")


def _mutated(offer: list[str], rng: random.Random) -> list[str] | bytes:
    """One to three things are off: lines left out, twice, moved, with other values; or bits."""
    lines = list(offer)
    for _ in range(rng.randint(1, 3)):
        at, kind = rng.randrange(len(lines)), rng.randrange(8)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif kind == 2:
            lines[at], other = lines[rng.randrange(len(lines))], lines[at]
            lines[rng.randrange(len(lines))] = other
        elif kind == 3:
            lines[at] = (
                lines[at].partition(":")[0]
                + ":"
                + rng.choice((any_text(rng), *NUMBER_LIKE)).replace("\n", "").replace("\r", "")
            )
        elif kind == 4:
            words = lines[at].split(" ")
            words[rng.randrange(len(words))] = rng.choice((*NUMBER_LIKE, "a" * 1000))
            lines[at] = " ".join(words)
        elif kind == 5:
            lines[at] = lines[at][: rng.randint(0, len(lines[at]))]
        elif kind == 6:
            return flipped("\r\n".join(lines).encode("utf-8", "replace") + b"\r\n", rng, rng.randint(1, 8))
        else:
            return any_bytes(rng) if rng.random() < 0.3 else "\r\n".join(lines * rng.randint(1, 9)).encode("utf-8", "replace")
    return lines


def _difference(offer: list[str], mutated: list[str] | bytes) -> str:
    if isinstance(mutated, bytes):
        return repr(mutated[:80])
    return repr(
        [line[:60] for line in mutated if line not in offer][:3] or [line[:40] for line in offer if line not in mutated][:3]
    )


async def _sessions(scene: Scene, count: int) -> None:
    """A real session, patched and ended with nonsense, under its own name and under others."""
    rng = scene.rng
    reply = await scene.case(
        "POST", f"/whep/{CAMERA}", what="a whole offer", body=offer_bytes("recvonly"), headers=SDP, judge=answered
    )
    places = [
        f"/whep/{CAMERA}/nobody",
        "/whep/nowhere/x",
        f"/whip/{PUBLISHED}/" + "a" * 2000,
        f"/whip/{PUBLISHED}/%00",
        f"/whep/{CAMERA}/..",
    ]
    if reply.status == 201:
        places = [
            reply.headers["location"],
            *places,
            reply.headers["location"] + "x",
            reply.headers["location"].replace("whep", "whip"),
        ]
    for _ in range(count):
        place = rng.choice(places)
        fragment = rng.choice(
            (any_bytes(rng), b"a=ice-ufrag:x\r\na=ice-pwd:y\r\n", b"a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n" * 100)
        )
        headers: Mapping[str, str] = {
            **rng.choice((FRAGMENT, SDP)),
            "If-Match": rng.choice(('"x"', "*", "", reply.headers.get("etag", '"y"'))),
        }
        await scene.case("PATCH", place, what=f"PATCH {place[:60]}", body=fragment, headers=headers)
        if place != places[0]:
            await scene.case("DELETE", place, what=f"DELETE {place[:60]}")
    if reply.status == 201:
        await scene.case("DELETE", reply.headers["location"], what="DELETE of a session")
        await scene.case("DELETE", reply.headers["location"], what="DELETE once more")

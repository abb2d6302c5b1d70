"""Offers and fragments as a broken, or a hostile, client would send them. `python webrtc_offers.py --count 20000 --seed S` posts that many to a
sessions and patches the sessions that come of them. No test in here."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable

from stream.webrtc.errors import RefusalError
from stream.webrtc.sessions import WebRtcSessions

OFFER = """v=0
o=mozilla 7612 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 2C:11:5A:0B:77:6D:1E:9F:00:31:42:53:64:75:86:97:A8:B9:CA:DB:EC:FD:0E:1F:20:31:42:53:64:75:86:97
a=group:BUNDLE 0 1
a=ice-options:trickle
a=msid-semantic:WMS *
m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99
c=IN IP4 0.0.0.0
a=candidate:1 1 udp 2113937151 127.0.0.1 40000 typ host
a=candidate:2 1 udp 1677729535 192.0.2.7 61764 typ srflx raddr 10.0.0.2 rport 41234
a=sendonly
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=fmtp:99 apt=98
a=ice-pwd:e1b2c3d4e5f60718293a4b5c6d7e8f90
a=ice-ufrag:ab12cd34
a=mid:0
a=msid:stream track
a=rtcp-fb:98 nack
a=rtcp-fb:98 nack pli
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtpmap:97 rtx/90000
a=rtpmap:98 H264/90000
a=rtpmap:99 rtx/90000
a=setup:actpass
a=ssrc:1001 cname:someone
a=ssrc-group:FID 1001 1002
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=sendonly
a=ice-pwd:e1b2c3d4e5f60718293a4b5c6d7e8f90
a=ice-ufrag:ab12cd34
a=mid:1
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=setup:actpass
""".replace("\n", "\r\n")
FRAGMENT = """a=ice-ufrag:ab12cd34
a=ice-pwd:e1b2c3d4e5f60718293a4b5c6d7e8f90
m=video 9 UDP/TLS/RTP/SAVPF 0
a=mid:0
a=candidate:1 1 udp 2113937151 127.0.0.1 40001 typ host
a=candidate:3 1 tcp 1518280447 127.0.0.1 9 typ host tcptype active
""".replace("\n", "\r\n")
ODD = (
    "",
    "0",
    "-1",
    "²",
    "99999999999999999999",
    "256",
    "x",
    ":",
    " ",
    "\t",
    "é",
    "\u2028",
    "*",
    "127.0.0.1.1",
    "::",
    "\x00",
    "a" * 300,
)
"""Words that stand where others are expected."""


def _change_byte(text: str, dice: random.Random) -> str:
    at = dice.randrange(len(text))
    return text[:at] + chr(dice.randrange(128)) + text[at + 1 :]


def _drop_line(text: str, dice: random.Random) -> str:
    lines = text.split("\r\n")
    del lines[dice.randrange(len(lines))]
    return "\r\n".join(lines)


def _double_line(text: str, dice: random.Random) -> str:
    lines = text.split("\r\n")
    lines.insert(dice.randrange(len(lines)), dice.choice(lines))
    return "\r\n".join(lines)


def _swap_lines(text: str, dice: random.Random) -> str:
    lines = text.split("\r\n")
    one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "\r\n".join(lines)


def _change_word(text: str, dice: random.Random) -> str:
    lines = text.split("\r\n")
    at = dice.randrange(len(lines))
    words = lines[at].replace(":", " : ").replace("=", " = ").split(" ")
    words[dice.randrange(len(words))] = dice.choice(ODD)
    lines[at] = " ".join(words).replace(" : ", ":").replace(" = ", "=")
    return "\r\n".join(lines)


def _cut_line(text: str, dice: random.Random) -> str:
    lines = text.split("\r\n")
    at = dice.randrange(len(lines))
    lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
    return "\r\n".join(lines)


def _cut(text: str, dice: random.Random) -> str:
    return text[: dice.randrange(len(text))]


KINDS: tuple[Callable[[str, random.Random], str], ...] = (
    _change_byte,
    _drop_line,
    _double_line,
    _swap_lines,
    _change_word,
    _change_word,
    _cut_line,
    _cut,
)


def mutated(text: str, dice: random.Random) -> bytes:
    """One to three things are wrong with it."""
    for _ in range(dice.randint(1, 3)):
        text = dice.choice(KINDS)(text or " ", dice)
    return text.encode("utf-8", "surrogatepass")


async def post(count: int, seed: int) -> Counter[str]:
    """What became of so many offers, by its name; `broken: ...` for what was neither taken nor refused."""
    dice, told = random.Random(seed), Counter[str]()
    sessions = WebRtcSessions()
    sessions.door("phone")
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, about: told.update([f"broken: later: {about.get('exception') or about['message']!r}"]))
    for _ in range(count):
        body = mutated(OFFER, dice)
        session = None
        try:
            session, _ = await sessions.publish("phone", "", body)
            told["taken"] += 1
            await sessions.patch(session, session.etag, mutated(FRAGMENT, dice))
            told["patched"] += 1
        except RefusalError as refusal:
            told[refusal.code] += 1
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            told[f"broken: {error!r}"[:150]] += 1
        if session is not None:
            await session.end()
    await sessions.close()
    return told


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        for name, number in asyncio.run(post(given.count, given.seed)).most_common():
            print(f"{number:8} {name}")


if __name__ == "__main__":
    main()

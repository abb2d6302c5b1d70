"""Session descriptions and ICE fragments as text: cut down, put back, refused in words."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webrtc_bits import START
from webrtc_offers import post

from stream.webrtc.errors import RefusalError
from stream.webrtc.offers import Offer, parse_fragment

TRANSPORT = (
    "a=fingerprint:sha-256 " + ":".join(["2C"] * 32) + "\r\na=setup:actpass\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
)
HEAD = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" + TRANSPORT
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99\r\na=mid:0\r\na=sendonly\r\n"
VP8 = "a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
H264 = (
    "a=rtpmap:98 H264/90000\r\na=rtcp-fb:98 nack pli\r\n"
    "a=fmtp:98 packetization-mode=1;profile-level-id=640c1f;sprop-parameter-sets=Z0LAHw==,aM48gA==\r\n"
    "a=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n"
)


def test_of_an_offer_aiortc_sees_one_payload_that_it_knows_and_the_answer_speaks_of_the_one_that_was_offered() -> None:
    offer = Offer(
        (HEAD + VIDEO + VP8 + H264 + "a=candidate:1 1 udp 1 abc.local 9 typ host\r\na=end-of-candidates\r\n").encode(),
        sends=True,
    )
    shown = offer.for_aiortc()
    assert "m=video 9 UDP/TLS/RTP/SAVPF 98 99\r\n" in shown
    assert "profile-level-id=42e01f" in shown
    assert not any(word in shown for word in ("VP8", "640c1f", "apt=96", ".local", "end-of-candidates"))
    assert offer.answer("a=fmtp:98 packetization-mode=1;profile-level-id=42e01f\r\n").endswith("profile-level-id=640c1f\r\n")
    assert offer.payload.parameter_sets() == START + bytes.fromhex("6742c01f") + START + bytes.fromhex("68ce3c80")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "session description"),
        (b"\xff\xfe", 422, "UTF-8"),
        (b"hello", 422, "session description"),
        (HEAD.encode(), 422, "1 to 8 media sections, got 0"),
        ((HEAD + VIDEO * 9 + H264).encode(), 422, "got 9"),
        ((HEAD + VIDEO.replace("sendonly", "recvonly") + H264).encode(), 422, "video section that is sendonly, got recvonly"),
        ((HEAD + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n").encode(), 422, "got none"),
        ((HEAD + VIDEO + H264 + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n").encode(), 422, "data channel"),
        ((HEAD + VIDEO + VP8).encode(), 406, "H.264, packetization-mode=1, got VP8; set the encoder"),
        ((HEAD + VIDEO + H264.replace("mode=1", "mode=0")).encode(), 406, "packetization-mode 0 alone"),
    ],
)
def test_an_offer_that_cannot_be_taken_is_refused_in_words(body: bytes, status: int, words: str) -> None:
    with pytest.raises(RefusalError, match=words) as refused:
        Offer(body, sends=True)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("line", "instead", "words"),
    [
        ("a=ice-ufrag:abcd", "", "section 1 .video.: expected a=ice-ufrag, got none"),
        ("a=ice-ufrag:abcd", "a=ice-ufrag:abc", "a=ice-ufrag, got another"),
        ("a=ice-pwd:abcdefghijklmnopqrstuv", "a=ice-pwd:short", "a=ice-pwd, got another"),
        ("a=setup:actpass", "", "a=setup, got none"),
        ("a=setup:actpass", "a=setup:holdconn", "a=setup, got another"),
        ("a=fingerprint:sha-256", "a=fingerprint:md5", "a=fingerprint of sha-256, sha-384, sha-512, got another"),
        (":2C:2C", ":2C", "a=fingerprint of sha-256, sha-384, sha-512, got another"),
        ("2C", "2G", "a=fingerprint of sha-256, sha-384, sha-512, got another"),
        ("a=group:BUNDLE 0", "a=group:BUNDLE 7", "names of media sections"),
        ("a=mid:0", "a=mid:0\r\na=mid:1", "one a=mid in each"),
    ],
)
def test_an_offer_that_lacks_what_a_connection_needs_is_refused_in_words(line: str, instead: str, words: str) -> None:
    offer = HEAD + VIDEO + H264
    assert Offer(offer.encode(), sends=True).payload.number == "98"
    with pytest.raises(RefusalError, match=words) as refused:
        Offer(offer.replace(line, instead, 1).encode(), sends=True)
    assert refused.value.status == 422


@pytest.mark.parametrize("where", ["head", "section"])
def test_the_transport_may_stand_in_the_head_or_in_each_section(where: str) -> None:
    offer = HEAD + VIDEO + H264 if where == "head" else HEAD.replace(TRANSPORT, "") + VIDEO + TRANSPORT + H264
    assert Offer(offer.encode(), sends=True).payload.number == "98"


@pytest.mark.parametrize("part", [1, 3, 5])
@pytest.mark.parametrize("instead", ["\u00b2", "-1", "99999999999", "x"])
def test_a_candidate_with_a_number_that_is_none_is_refused(part: int, instead: str) -> None:
    words = ["1", "1", "udp", "5", "192.0.2.9", "4000", "typ", "host"]
    words[part] = instead
    with pytest.raises(RefusalError, match="FOUNDATION"):
        parse_fragment(f"a=candidate:{' '.join(words)}\r\n".encode())


def test_no_offer_and_no_fragment_is_an_error_of_ours() -> None:
    told = asyncio.run(post(300, seed=3))
    assert told["taken"] > 20, "what is taken is patched"
    assert told["bad_sdp"] > 20
    assert not [name for name in told if name.startswith("broken")], told


@given(st.binary(max_size=300) | st.text(alphabet="vmao=: \r\nVH264/90000video", max_size=300).map(str.encode))
def test_any_body_is_an_offer_or_refused(body: bytes) -> None:
    with contextlib.suppress(RefusalError):
        Offer(body, sends=True).for_aiortc()
    with contextlib.suppress(RefusalError):
        parse_fragment(body)


def test_a_fragment_tells_credentials_and_candidates() -> None:
    body = b"a=ice-ufrag:abcd\r\na=ice-pwd:secret\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:3\r\n"
    body += b"a=candidate:1 1 udp 5 192.0.2.9 4000 typ host\r\n"
    fragment = parse_fragment(body)
    assert (fragment.username, fragment.password) == ("abcd", "secret")
    assert [(each.mid, each.line) for each in fragment.candidates] == [("3", "1 1 udp 5 192.0.2.9 4000 typ host")]
    with pytest.raises(RefusalError, match="FOUNDATION"):
        parse_fragment(b"a=candidate:1 1 udp x 192.0.2.9 4000 typ host\r\n")

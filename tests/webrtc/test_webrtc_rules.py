"""The rules of WHIP and WHEP (RFC 9725) over the real HTTP server: statuses, headers, limits, tokens."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from aiortc import RTCRtpTransceiver
from waiting import until
from webrtc_fixtures import publisher, reader, serve
from webrtc_peers import Publisher
from webrtc_server import FRAGMENT, WAIT_S, Reader, Server

__all__ = ["publisher", "reader", "serve"]

Serve = Callable[..., Server]
Publish = Callable[..., Publisher]
Read = Callable[..., Reader]

AUDIO_ONLY = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"


def error(response: httpx.Response) -> dict[str, Any]:
    return dict(response.json()["error"])


def test_a_publisher_gets_a_secret_url_and_an_answer_that_only_receives(serve: Serve, publisher: Publish) -> None:
    server = serve()
    answer = publisher(server).answer
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/sdp"
    assert re.fullmatch(r"/whip/phone/[A-Za-z0-9_-]{32}", answer.headers["location"])
    assert re.fullmatch(r'"[^"]+"', answer.headers["etag"])
    assert "a=recvonly" in answer.text
    assert "a=setup:passive" in answer.text
    assert "a=candidate:" in answer.text


def test_options_tell_what_may_be_posted_and_get_is_empty(serve: Serve, publisher: Publish) -> None:
    server = serve()
    options = server.request("OPTIONS", "/whip/phone")
    assert (options.status_code, options.headers["accept-post"]) == (200, "application/sdp")
    session = publisher(server).session
    assert server.request("OPTIONS", session).headers["accept-patch"] == "application/trickle-ice-sdpfrag"
    for path in ("/whip/phone", "/whep/yard", session):
        for method in ("GET", "HEAD"):
            response = server.request(method, path)
            assert (response.status_code, response.content) == (204, b"")
    assert server.request("PUT", "/whip/phone").status_code == 405


def test_delete_ends_the_session_once(serve: Serve, publisher: Publish, reader: Read) -> None:
    server = serve()
    camera = reader(server)
    phone = publisher(server)
    camera.wait(1)
    assert phone.delete().status_code == 200
    until(lambda: camera.ends == [""])
    assert error(phone.delete())["code"] == "no_session"
    assert server.sessions.figures() == {"publishers": 0, "viewers": 0}


@pytest.mark.parametrize(("closing", "status"), [(False, 404), (True, 503)])
def test_what_ends_while_its_answer_is_made_keeps_no_place(
    serve: Serve, publisher: Publish, monkeypatch: pytest.MonkeyPatch, closing: bool, status: int
) -> None:
    from stream.webrtc.session import Session

    server, answered = serve(), Session.open

    async def opened(session: Session, offer: Any) -> str:
        answer = await answered(session, offer)
        await (server.sessions.close() if closing else session.end("gone"))
        return answer

    monkeypatch.setattr(Session, "open", opened)
    assert publisher(server).answer.status_code == status
    assert server.sessions.figures() == {"publishers": 0, "viewers": 0}


def test_a_wrong_camera_is_refused_in_words(serve: Serve) -> None:
    server = serve()
    unknown, not_whip = server.post("/whip/porch", AUDIO_ONLY), server.post("/whip/yard", AUDIO_ONLY)
    assert (unknown.status_code, error(unknown)["code"]) == (404, "unknown_camera")
    assert (not_whip.status_code, error(not_whip)["setting"]) == (409, "cameras.yard.url")
    assert server.post("/whep/porch", AUDIO_ONLY).status_code == 404


def test_a_wrong_type_a_long_body_and_no_offer_are_refused_and_counted(serve: Serve) -> None:
    server = serve(max_sdp_bytes=2048)
    assert server.post("/whip/phone", AUDIO_ONLY, Content_Type="text/plain").status_code == 415
    assert server.post("/whip/phone", "v=0\r\n" + "a=x\r\n" * 1000).status_code == 413
    assert server.post("/whip/phone", AUDIO_ONLY).status_code == 422
    assert server.refused == {"wrong_type": 1, "too_large": 1, "bad_sdp": 1}


def test_an_offer_without_h264_is_told_what_to_set(serve: Serve, publisher: Publish) -> None:
    server = serve()
    answer = publisher(server, codec="video/VP8").answer
    assert answer.status_code == 406
    assert "H.264" in error(answer)["message"]
    assert error(answer)["got"] == "VP8"
    assert server.sessions.figures()["publishers"] == 0


@pytest.mark.parametrize("line", ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:", "a=rtcp-mux", "m=video"])
def test_an_offer_that_lacks_a_part_is_refused_and_leaves_nothing(serve: Serve, publisher: Publish, line: str) -> None:
    server = serve()
    whole = publisher(server)
    whole.delete()
    cut = "\r\n".join(each for each in whole.offer.split("\r\n") if not each.startswith(line))
    for offer in (cut, whole.offer.replace(line, line[:3])):
        told = server.post("/whip/phone", offer)
        assert (told.status_code, error(told)["code"]) == (422, "bad_sdp")
    until(lambda: not server.sessions._num_opening["publish"])
    assert server.sessions.figures()["publishers"] == 0


def test_a_receiver_that_starts_while_its_session_ends_is_stopped_too(
    serve: Serve, publisher: Publish, reader: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's end fails the test when a task of it goes on."""
    stop, asked = RTCRtpTransceiver.stop, set()

    async def stopped(transceiver: RTCRtpTransceiver) -> None:
        if transceiver.direction == "recvonly" and transceiver not in asked:
            asked.add(transceiver)  # not started yet, as aiortc sees it
        else:
            await stop(transceiver)

    monkeypatch.setattr(RTCRtpTransceiver, "stop", stopped)
    server = serve()
    camera = reader(server)
    phone = publisher(server)
    camera.wait(1)
    assert phone.delete().status_code == 200
    assert len(asked) == 1


@pytest.mark.parametrize("sent", [b"", b"v=0\r\n"])
def test_a_body_that_does_not_come_is_given_up_with_408(serve: Serve, sent: bytes) -> None:
    server = serve(body_timeout_s=0.2)
    with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as slow:
        slow.sendall(
            b"POST /whip/phone HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 500\r\n\r\n" + sent
        )
        slow.settimeout(WAIT_S)
        got = b""
        while chunk := slow.recv(4096):
            got += chunk
    assert got.startswith(b"HTTP/1.1 408")
    assert b"webrtc.body_timeout_s" in got
    assert server.refused == {"slow_body": 1}


def test_candidates_trickle_with_the_etag_and_other_patches_get_their_own_refusals(serve: Serve, publisher: Publish) -> None:
    server = serve()
    phone = publisher(server)
    tag = phone.answer.headers["etag"]
    ufrag, password = (re.search(rf"a=ice-{key}:(\S+)", phone.offer)[1] for key in ("ufrag", "pwd"))  # type: ignore[index]
    candidates = f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
    candidates += "a=candidate:9 1 udp 99 127.0.0.1 9 typ host\r\n"

    def patch(body: str = candidates, **headers: str) -> httpx.Response:
        return server.request("PATCH", phone.session, content=body, headers={**FRAGMENT, **headers})

    until(lambda: server.sessions.session("whip", "phone", phone.session.rpartition("/")[2]).state.value == "connected")
    assert patch(**{"If-Match": tag}).status_code == 204
    assert patch(**{"If-Match": f'"other", {tag}'}).status_code == 204
    assert patch().status_code == 428
    assert patch(**{"If-Match": '"old"'}).status_code == 412
    assert patch(**{"If-Match": tag, "Content-Type": "application/sdp"}).status_code == 415
    assert patch("hello", **{"If-Match": tag}).status_code == 422
    assert patch(candidates.replace(ufrag, "others"), **{"If-Match": tag}).status_code == 422
    assert patch(**{"If-Match": "*"}).status_code == 422
    restart = patch(candidates.replace(ufrag, "anew").replace(password, "p" * 24), **{"If-Match": "*"})
    assert (restart.status_code, restart.headers["content-type"]) == (200, "application/trickle-ice-sdpfrag")
    assert "a=ice-ufrag:" in restart.text
    assert restart.headers["etag"] != tag
    assert patch(**{"If-Match": tag}).status_code == 412
    assert server.request("PATCH", "/whip/phone/guessed", content=candidates, headers=FRAGMENT).status_code == 404
    assert (
        server.request("PATCH", phone.session.replace("whip", "whep"), content=candidates, headers=FRAGMENT).status_code == 404
    )


def test_a_publisher_too_many_is_told_to_come_back(serve: Serve, publisher: Publish) -> None:
    server = serve(doors=("phone", "tablet"), max_publishers=1)
    first = publisher(server)
    second = publisher(server, "/whip/tablet")
    assert second.answer.status_code == 503
    assert int(second.answer.headers["retry-after"]) > 0
    assert error(second.answer)["setting"] == "webrtc.max_publishers"
    assert publisher(server).answer.status_code == 201, "one that takes over its own place is none too many"
    assert first.delete().status_code == 404


def test_who_has_a_token_may_and_nobody_else(serve: Serve, publisher: Publish) -> None:
    server = serve(tokens=("secret", "other"))
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}, {"Authorization": "Bearer"}):
        for method, path in (
            ("POST", "/whip/phone"),
            ("POST", "/whep/yard"),
            ("DELETE", "/whip/phone/x"),
            ("PATCH", "/whip/phone/x"),
        ):
            response = server.request(method, path, headers=headers)
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert server.refused == {"unauthorized": 16}
    assert server.request("OPTIONS", "/whip/phone").status_code == 200
    assert server.request("GET", "/publish/phone").status_code == 200
    assert publisher(server, token="secret").answer.status_code == 201


def test_the_same_token_takes_over_another_waits_until_the_first_is_gone(
    serve: Serve, publisher: Publish, reader: Read
) -> None:
    server = serve(tokens=("mine", "theirs"))
    camera = reader(server)
    first = publisher(server, token="mine")
    camera.wait(5)
    refused = publisher(server, token="theirs").answer
    assert (refused.status_code, error(refused)["code"]) == (409, "taken")
    assert "retry-after" in refused.headers
    second = publisher(server, token="mine")
    assert second.answer.status_code == 201
    until(lambda: camera.num_connections == 2)
    assert server.sessions.figures()["publishers"] == 1
    assert first.delete().status_code == 404
    second.vanish()
    until(lambda: publisher(server, token="theirs").answer.status_code == 201)
    until(lambda: camera.num_connections == 3)


def test_pages_of_other_origins_may_ask_only_where_they_are_allowed(serve: Serve) -> None:
    closed, opened = serve(), serve(origins=("https://app.example",))
    for origin in ("https://app.example", "https://evil.example"):
        assert "access-control-allow-origin" not in closed.request("OPTIONS", "/whip/phone", headers={"Origin": origin}).headers
    allowed = opened.request("OPTIONS", "/whip/phone", headers={"Origin": "https://app.example"}).headers
    assert allowed["access-control-allow-origin"] == "https://app.example"
    assert "Location" in allowed["access-control-expose-headers"]
    refused = opened.post("/whip/porch", AUDIO_ONLY, Origin="https://app.example")
    assert refused.headers["access-control-allow-origin"] == "https://app.example"
    assert (
        "access-control-allow-origin"
        not in opened.request("OPTIONS", "/whip/phone", headers={"Origin": "https://evil.example"}).headers
    )


def test_ice_servers_are_told_and_their_passwords_only_with_an_answer(serve: Serve, publisher: Publish) -> None:
    server = serve(ice_servers=[{"url": "turn:127.0.0.1:9?transport=udp", "username": "u", "password": "hush"}])
    assert "link" not in server.request("OPTIONS", "/whip/phone").headers
    assert 'credential="hush"' in publisher(server).answer.headers["link"]
    assert "hush" not in repr(server.sessions.settings)


def test_addresses_and_ports_are_those_that_are_set(serve: Serve, publisher: Publish, reader: Read) -> None:
    server = serve(addresses=["127.0.0.1"], ports=(40_100, 40_140))
    camera = reader(server)
    candidates = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+)", publisher(server).answer.text)
    assert [address for address, _ in candidates] == ["127.0.0.1"]
    assert 40_100 <= int(candidates[0][1]) <= 40_140
    camera.wait(1)


def test_a_publisher_that_never_connects_is_ended(serve: Serve, publisher: Publish) -> None:
    server = serve(connect_timeout_s=0.5)
    offer = publisher(server).offer
    assert server.post("/whip/phone", offer).status_code == 201
    until(lambda: server.sessions.figures()["publishers"] == 0)


def test_while_stopping_nobody_is_let_in(serve: Serve) -> None:
    server = serve()
    server.loop.run(server.sessions.close())
    assert server.post("/whip/phone", AUDIO_ONLY).status_code == 503
    assert server.post("/whep/yard", AUDIO_ONLY).status_code == 503

"""Clients that are slow, many, or endless: what each is answered, that its place is free again, and that others are served meanwhile."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_fixtures import WAIT_S, RunningService, Start, checkpoint, model, start, video  # noqa: F401
from waiting import until

# ruff: noqa: F811

SOON_S = 0.3
ASK = b"POST /v1/cameras/front/ask HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
FOLLOW = b"GET /v1/events/stream?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def limited(start: Start, video: Path, **server: Any) -> RunningService:
    return start({"front": {"url": str(video), "paced": False}}, server={"port": 0, **server})


def connected(service: RunningService, sent: bytes = b"", *, source: str = "127.0.0.1") -> socket.socket:
    address = httpx.URL(service.url)
    client = socket.create_connection((address.host, address.port), WAIT_S, source_address=(source, 0))
    client.sendall(sent)
    return client


def whole(client: socket.socket) -> bytes:
    """What comes until the service closes the connection."""
    got = b""
    with client:
        while chunk := client.recv(1 << 16):
            got += chunk
    return got


def answer(got: bytes) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, headers and error of the last answer among what came."""
    head, _, body = got[got.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, json.loads(body)["error"]


def refused(service: RunningService) -> dict[str, int]:
    return dict(service.get("/v1/status").json()["refused"])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"])
@pytest.mark.parametrize("sent", [b"", b"GET /v1/cameras HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_headers_that_do_not_come_end_the_connection(start: Start, video: Path, before: bytes, sent: bytes) -> None:
    service = limited(start, video, header_timeout_s=SOON_S)
    client = connected(service, before)
    if before and sent:
        client.recv(1, socket.MSG_PEEK)  # the first request has been answered
    client.sendall(sent)
    got = whole(client)
    if sent or not before:  # else it was an idle connection, which uvicorn closes without a word
        assert answer(got)[2]["setting"] == "server.header_timeout_s"
        assert answer(got)[0] == 408
        assert refused(service) == {"slow_headers": 1}


@pytest.mark.parametrize("sent", [b"", b'{"question"'])
def test_a_body_that_does_not_come_is_given_up_with_408(start: Start, video: Path, sent: bytes) -> None:
    service = limited(start, video, body_timeout_s=SOON_S)
    got = whole(connected(service, ASK + b"Content-Length: 500\r\n\r\n" + sent))
    assert answer(got)[0] == 408
    assert answer(got)[2]["code"] == "slow_body"
    assert refused(service) == {"slow_body": 1}


def test_a_body_that_nobody_wants_is_not_waited_for_either(start: Start, video: Path) -> None:
    service = limited(start, video, body_timeout_s=SOON_S)
    got = whole(connected(service, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n{"))
    assert got.startswith(b"HTTP/1.1 200"), "the answer needs no body"


def test_what_is_no_http_is_told_so(start: Start, video: Path) -> None:
    service = limited(start, video)
    assert answer(whole(connected(service, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")))[2]["code"] == "bad_http"
    assert answer(whole(connected(service, ASK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")))[0] == 400
    assert refused(service) == {"bad_http": 2}


def test_a_body_beyond_its_bound_is_refused_unread_and_the_connection_goes_on(start: Start, video: Path) -> None:
    service = limited(start, video)
    with httpx.Client(base_url=service.url, timeout=WAIT_S) as client:
        for content in (b"x" * (50 << 20), (b"x" * 1000 for _ in range(100))):
            told = client.post("/v1/cameras/front/ask", content=content, headers={"Content-Type": "application/json"})
            assert (told.status_code, told.json()["error"]["setting"]) == (413, "server.max_body_kb")
            assert client.get("/healthz").status_code == 200
    promised = connected(service, ASK + b"Content-Length: 65537\r\n\r\n")
    until(lambda: refused(service) == {"too_large": 3})
    promised.close()
    assert service.ask("front", question="x" * 2000).status_code in (200, 503), "the longest question fits"


def test_connections_are_bounded_and_no_address_takes_them_all(start: Start, video: Path, stack: ExitStack) -> None:
    service = limited(start, video, max_connections=4, max_share_per_address=0.5)
    held = [stack.enter_context(connected(service)) for _ in range(2)]
    status, headers, error = answer(whole(connected(service, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")))
    assert (status, error["code"], error["setting"]) == (503, "too_many_connections", "server.max_connections")
    assert int(headers["retry-after"]) >= 1
    other = connected(service, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", source="127.0.0.2")
    assert whole(other).startswith(b"HTTP/1.1 200"), "somebody else is served"
    for one in held:
        one.close()
    until(lambda: _is_served(service))
    assert refused(service)["too_many_connections"] >= 1


def _is_served(service: RunningService) -> bool:
    return service.get("/healthz").status_code == 200


def test_followers_are_bounded_and_a_place_is_given_back(start: Start, video: Path, stack: ExitStack) -> None:
    service = limited(start, video, max_followers=2, max_share_per_address=0.5)
    first = stack.enter_context(connected(service, FOLLOW))
    until(lambda: b": following" in first.recv(1 << 16, socket.MSG_PEEK))
    told = service.get("/v1/events/stream")
    assert (told.status_code, told.json()["error"]["code"]) == (503, "too_many_followers")
    assert int(told.headers["retry-after"]) >= 1
    with connected(service, FOLLOW, source="127.0.0.2") as other:
        until(lambda: b": following" in other.recv(1 << 16, socket.MSG_PEEK))
    first.close()

    def is_taken() -> bool:
        with connected(service, FOLLOW) as again:
            again.settimeout(WAIT_S)
            return b" 200 " in again.recv(1 << 12)

    until(is_taken)


def put(service: RunningService, number: int) -> None:
    body = {"camera": "front", "question": f"{number} " + "x" * 4000}
    service.runner.service.delivery.writer.put("question", "front", f"q{number}", body)


def test_a_follower_that_does_not_read_is_dropped_and_one_that_does_gets_everything(
    start: Start, video: Path, stack: ExitStack
) -> None:
    service = limited(start, video, write_timeout_s=SOON_S)
    deaf = [stack.enter_context(connected(service, FOLLOW)) for _ in range(20)]
    got: list[int] = []
    number = 3000

    def listen() -> None:
        with httpx.stream("GET", f"{service.url}/v1/events/stream?after=0&kind=question", timeout=WAIT_S) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    got.append(int(json.loads(line[6:])["id"][1:]))
                    if len(got) == number:
                        return

    listening = threading.Thread(target=listen)
    listening.start()
    for each in range(number):  # 12 MB: more than a system holds for one who does not read
        put(service, each)
    listening.join(WAIT_S)
    assert got == list(range(number))
    until(lambda: refused(service).get("slow_reader") == len(deaf))


def test_a_client_that_asks_again_and_again_and_never_reads_is_dropped(start: Start, video: Path, stack: ExitStack) -> None:
    service = limited(start, video, write_timeout_s=SOON_S)
    client = stack.enter_context(connected(service))
    client.settimeout(SOON_S)
    request = b"GET /v1/config/schema.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    def is_cut() -> bool:
        try:
            client.sendall(request * 50)
        except TimeoutError:
            return False
        except OSError:
            return True
        return False

    until(is_cut)
    until(lambda: refused(service).get("slow_reader") == 1)


def test_hundreds_of_followers_all_get_what_is_told(start: Start, video: Path, stack: ExitStack) -> None:
    service = limited(start, video, max_followers=300, max_share_per_address=1.0)
    followers = [stack.enter_context(connected(service, FOLLOW.replace(b"?after=0", b""))) for _ in range(200)]
    for one in followers:
        until(lambda one=one: b": following" in one.recv(1 << 12, socket.MSG_PEEK))
    put(service, 7)
    for one in followers:
        until(lambda one=one: b'"q7"' in one.recv(1 << 14, socket.MSG_PEEK))


def test_a_stop_does_not_wait_for_who_does_not_read(start: Start, video: Path, stack: ExitStack) -> None:
    service = limited(start, video)
    deaf = stack.enter_context(connected(service, FOLLOW))
    until(lambda: b": following" in deaf.recv(1 << 12, socket.MSG_PEEK))
    for each in range(3000):
        put(service, each)
    assert service.end() == 0

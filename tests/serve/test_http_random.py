"""Any bytes and any JSON on any route: an answer or a clear refusal, as it is described, and the next honest question is answered."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from service_fixtures import WAIT_S, RunningService, Start, checkpoint, model, over, start, video  # noqa: F401

# ruff: noqa: F811

NUM_CASES = 250
"""Of each of four tests."""
FEW_TOKENS = 4
UNDER_WAY = settings(
    max_examples=NUM_CASES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
ASK, WATCH = "/v1/cameras/front/ask", "/v1/cameras/front/watches/car"
FIELDS = {
    ASK: ("question", "max_tokens", "temperature", "top_p", "seed", "since", "until", "recall", "stream"),
    WATCH: (
        "sentence",
        "enabled",
        "threshold",
        "release",
        "confirm",
        "min_duration_s",
        "schedule",
        "zone",
        "severity",
        "label",
    ),
}
HONEST: dict[str, dict[str, Any]] = {
    ASK: {"question": "who is there?", "max_tokens": FEW_TOKENS, "stream": False},
    WATCH: {"sentence": "Is there a car?", "enabled": False},
}
NUMBERS = (
    st.sampled_from([0, -0.0, 1e-46, 1e-39, 1e308, -1, 1 << 63, 1 << 64, -(1 << 63), 10**300])
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = st.text(max_size=60) | st.sampled_from(
    ["-10m", "-9999999999d", "9" * 64, "nan", "2026-11-20T08:00", "a\0b", "<|im_end|>", "0001-01-01"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model: Any, video: Path) -> Iterator[RunningService]:
    cameras = {"front": {"url": str(video), "paced": False}, "phone": {"url": "whip"}}
    data = str(tmp_path_factory.mktemp("random"))
    server = {"port": 0, "max_tokens": FEW_TOKENS}
    running = RunningService({"cameras": cameras, "server": server, "data": data}, model)
    running.camera_when("front", over)
    yield running
    assert running.ask("front", **HONEST[ASK]).status_code == 200, "the next honest question is answered"
    assert running.get("/v1/status").json()["engine"]["streams"] >= 1
    assert "internal" not in running.get("/v1/status").json()["refused"]
    assert running.end() == 0


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=WAIT_S) as opened:
        yield opened


def check(told: httpx.Response) -> None:
    """An answer, or a refusal that says what is wrong."""
    assert told.status_code < 500 or told.status_code == 503, told.text
    if told.status_code >= 400 and told.request.method != "HEAD" and told.request.url.path != "/readyz":
        error = told.json()["error"]
        assert {"code", "message"} <= set(error) <= {"code", "message", "expected", "got", "setting"}
        assert error["code"] != "internal"
    if told.status_code == 503 and told.request.url.path != "/readyz":
        assert int(told.headers["Retry-After"]) >= 1


@given(data=st.data())
@UNDER_WAY
def test_any_json_in_any_field(client: httpx.Client, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([ASK, WATCH]))
    wrong = st.dictionaries(st.sampled_from(FIELDS[path]), VALUES | NUMBERS, min_size=1, max_size=3)
    body = HONEST[path] | data.draw(wrong)
    text = json.dumps(body).encode("utf-8", "surrogatepass")
    told = client.request("POST" if path == ASK else "PUT", path, content=text, headers={"Content-Type": "application/json"})
    check(told)


@given(
    path=st.sampled_from([ASK, WATCH, "/whip/phone", "/whep/front", "/whip/phone/none"]),
    method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS"]),
    kind=st.sampled_from(["application/json", "application/sdp", "application/trickle-ice-sdpfrag"]),
    body=st.binary(max_size=400)
    | VALUES.map(json.dumps).map(str.encode)
    | st.integers(1, 60_000).map(lambda number: b"[" * number),
)
@UNDER_WAY
def test_any_bytes_as_a_body(client: httpx.Client, path: str, method: str, kind: str, body: bytes) -> None:
    check(client.request(method, path, content=body, headers={"Content-Type": kind}))


@given(
    path=st.sampled_from(
        ["/v1/events", "/v1/cameras/front/clip.mp4", "/v1/cameras/{}", "/v1/events/{}/clip.mp4", "/v1/events/{}/snapshot.jpg"]
    ),
    name=st.text(min_size=1, max_size=300) | st.sampled_from(["..", "%", "\0"]),
    query=st.dictionaries(
        st.sampled_from(["camera", "kind", "id", "since", "until", "after", "limit", "order", "start", "end", "more"]),
        (NUMBERS | TEXTS).map(str),
        max_size=4,
    ),
    headers=st.dictionaries(
        st.sampled_from(["Range", "If-None-Match", "If-Range", "Accept", "Last-Event-ID", "Origin", "If-Match"]),
        st.binary(max_size=40).map(lambda value: bytes(byte for byte in value if byte >= 32 and byte != 127).strip()),
        max_size=3,
    ),
)
@UNDER_WAY
def test_anything_in_a_path_a_query_or_a_header(
    client: httpx.Client, path: str, name: str, query: dict[str, str], headers: dict[str, bytes]
) -> None:
    raw = "".join(f"%{byte:02x}" for byte in name.encode("utf-8", "surrogatepass"))
    check(
        client.get(
            path.format(raw), params={key: value.encode("utf-8", "replace") for key, value in query.items()}, headers=headers
        )
    )


@given(
    st.lists(
        st.binary(max_size=60)
        | st.sampled_from(
            [
                b"GET /healthz HTTP/1.1\r\n",
                b"Host: 127.0.0.1\r\n",
                b"\r\n",
                b"Content-Length: 5\r\n",
                b"Transfer-Encoding: chunked\r\n",
            ]
        ),
        max_size=8,
    )
)
@UNDER_WAY
def test_any_bytes_on_a_connection(service: RunningService, sent: list[bytes]) -> None:
    address = httpx.URL(service.url)
    with socket.create_connection((address.host, address.port), WAIT_S) as client:
        client.sendall(b"".join(sent))
        client.shutdown(socket.SHUT_WR)
        got = b""
        try:
            while chunk := client.recv(1 << 16):
                got += chunk
        except ConnectionResetError:
            pass
    for answer in got.split(b"HTTP/1.1 ")[1:]:
        assert answer.startswith((b"200 ", b"400 ", b"404 ", b"405 ", b"421 ")), answer


CHECKS: list[CheckFunction] = [status_code_conformance, content_type_conformance, response_schema_conformance]


def test_what_schemathesis_draws_from_the_description_is_answered_as_it_says(service: RunningService) -> None:
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json", wait_for_schema=WAIT_S)
    tested = 0
    for found in schema.exclude(path="/v1/events/stream").get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(UNDER_WAY, max_examples=10)
        def one(case: schemathesis.Case) -> None:
            told = case.call(timeout=WAIT_S)
            assert told.status_code < 500 or told.status_code == 503, told.text
            case.validate_response(told, checks=CHECKS)

        one()
        tested += 1
    assert tested > 20

"""Every refusal over HTTP: its status, its code, its one shape, and that the API's description has it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_fixtures import WAIT_S, RunningService, Start, checkpoint, model, over, start, video  # noqa: F401
from webrtc_offers import OFFER

from stream.serve.bodies import parse_json
from stream.serve.errors import JsonError

# ruff: noqa: F811

ASK, WATCH = ("POST", "/v1/cameras/front/ask"), ("PUT", "/v1/cameras/front/watches/car")
JSON = {"Content-Type": "application/json"}
SDP = {"Content-Type": "application/sdp"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model: Any, video: Path) -> Iterator[RunningService]:
    cameras = {
        "front": {"url": str(video), "paced": False, "record": {"folder": "recorded"}},
        "late": {"url": "rtsp://127.0.0.1:1/x", "enabled": False},
        "phone": {"url": "whip"},
    }
    data = str(tmp_path_factory.mktemp("refusals"))
    running = RunningService({"cameras": cameras, "server": {"port": 0}, "data": data}, model)
    running.camera_when("front", over)
    yield running
    running.end()


def send(service: RunningService, method: str, path: str, **more: Any) -> httpx.Response:
    return httpx.request(method, service.url + path, timeout=WAIT_S, **more)


def sent(
    service: RunningService, route: tuple[str, str], body: str | bytes, headers: Mapping[str, str] = JSON
) -> dict[str, str]:
    """The error that a body gets: 4xx, in the one shape."""
    told = send(service, *route, content=body, headers=headers)
    assert 400 <= told.status_code < 500, told.text
    error = told.json()["error"]
    assert set(error) <= {"code", "message", "expected", "got", "setting"}
    return {"status": told.status_code, **error}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("Infinity", "bad"),
        ("-Infinity", "bad"),
        ("NaN", "bad"),
        ("1e999", "bad"),
        ("true", "bad"),
        ("[1]", "bad"),
        ("{}", "bad"),
        ("9" * 401, "bad_json"),
    ],
)
@pytest.mark.parametrize("field", ["temperature", "top_p", "since", "seed", "max_tokens"])
def test_what_is_no_number_is_refused_where_a_number_of_a_question_is_wanted(
    service: RunningService, field: str, value: str, code: str
) -> None:
    error = sent(service, ASK, f'{{"question": "who?", "{field}": {value}}}')
    assert error["status"] == 422
    assert error["code"] == ("bad_question" if code == "bad" else code)
    assert code == "bad_json" or field in error["message"]


@pytest.mark.parametrize("value", ["true", "NaN", "Infinity", "1e999", "[1]"])
@pytest.mark.parametrize("field", ["threshold", "release", "confirm", "min_duration_s", "cool_down_s", "update_every_s"])
def test_and_of_a_watch(service: RunningService, field: str, value: str) -> None:
    error = sent(service, WATCH, f'{{"sentence": "a car?", "{field}": {value}}}')
    assert (error["status"], error["code"]) == (422, "bad_watch")
    assert error["message"].startswith(field)


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("value", ["inf", "nan", "true", "1e999", "-1", ""])
def test_and_in_a_query(service: RunningService, name: str, value: str) -> None:
    told = send(service, "GET", f"/v1/events?{name}={value}")
    assert (told.status_code, told.json()["error"]["code"]) == (422, "bad_request")
    assert told.json()["error"]["message"].startswith(name)


@pytest.mark.parametrize(
    ("body", "got"),
    [
        (b'{"question": "who?", "question": "what?"}', "the key 'question' twice"),
        (b'{"a": 1, "\\u0061": 2}', "the key 'a' twice"),
        (b"[" * 60_000, "brackets nested too deeply"),
        (b'{"a":' * 12_000, "brackets nested too deeply"),
        (b'{"question": "\xff"}', "bytes at 14 that are no UTF-8"),
        (b'{"question": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\udfff": 1}', "half of a surrogate pair"),
        (b"\xef\xbb\xbf{}", "something else at line 1, column 1"),
        (b'{"question": "a\x00b"}', "something else at line 1, column 16"),
        (b"{", "something else at line 1, column 2"),
        (b"\x00", "something else at line 1, column 1"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "a number of 5000 digits"),
    ],
)
@pytest.mark.parametrize("route", [ASK, WATCH])
def test_what_is_no_json_is_refused_in_words(service: RunningService, route: tuple[str, str], body: bytes, got: str) -> None:
    error = sent(service, route, body)
    assert (error["status"], error["code"], error["got"]) == (422, "bad_json", got)


def test_json_is_read_as_json_has_it() -> None:
    text = '{"a": [1, -2.5e3, "\\ud83d\\ude97", null, true], "b": {"a": ""}}'
    assert parse_json(text.encode()) == json.loads(text)
    with pytest.raises(JsonError, match="twice"):
        parse_json(b'{"a": {"b": 1, "b": 1}}')


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/xml; json"]
)
def test_a_body_of_another_type_is_refused(service: RunningService, kind: str) -> None:
    error = sent(service, ASK, b'{"question": "who?"}', {"Content-Type": kind} if kind else {})
    assert (error["status"], error["code"], error["expected"]) == (415, "wrong_type", "application/json")


@pytest.mark.parametrize(
    ("route", "body", "code", "words"),
    [
        (ASK, "[]", "bad_question", "body"),
        (ASK, "null", "bad_question", "body"),
        (ASK, "", "bad_question", "body"),
        (ASK, '{"question": 5}', "bad_question", "question"),
        (ASK, '{"question": "a\\u0000b"}', "bad_question", "question"),
        (ASK, '{"question": "a", "since": "soon"}', "bad_question", "since"),
        (ASK, '{"question": "a", "since": "%s"}' % ("9" * 65), "bad_question", "since"),
        (ASK, json.dumps({"question": "a", "x" * 60_000: 1}), "bad_question", "x"),
        (WATCH, '{"sentence": ""}', "bad_watch", "sentence"),
        (WATCH, '{"sentence": "a", "schedule": ["%s"]}' % ("x" * 60_000), "bad_watch", "schedule"),
        (WATCH, '{"sentence": "a", "zone": [[[true, 0], [0, 1], [1, 1]]]}', "bad_watch", "zone"),
        (("PUT", "/v1/cameras/front/watches/A%00b"), '{"sentence": "a"}', "bad_request", "name"),
    ],
)
def test_what_makes_no_sense_is_told_by_what_it_was_to_be(
    service: RunningService, route: tuple[str, str], body: str, code: str, words: str
) -> None:
    error = sent(service, route, body)
    assert (error["status"], error["code"]) == (422, code)
    assert words in error["message"]
    assert len(json.dumps(error)) < 2000, "what came is not all told again"


@pytest.mark.parametrize("position", ["9" * 30, "-1", "x", str(1 << 63)])
def test_a_last_event_id_that_is_no_position_is_refused(service: RunningService, position: str) -> None:
    told = send(service, "GET", "/v1/events/stream", headers={"Last-Event-ID": position})
    assert (told.status_code, told.json()["error"]["code"]) == (422, "bad_request")


CASES: list[tuple[str, str, int, dict[str, Any]]] = [
    ("GET", "/v1/cameras", 200, {}),
    ("GET", "/v1/cameras/{name}", 200, {}),
    ("GET", "/v1/cameras/{name}", 404, {"name": "nobody"}),
    ("GET", "/v1/cameras/{name}/timeline", 200, {}),
    ("GET", "/v1/cameras/{name}/timeline", 404, {"name": "nobody"}),
    ("GET", "/v1/cameras/{name}/canvases.png", 200, {}),
    ("GET", "/v1/cameras/{name}/canvases.png", 404, {"name": "nobody"}),
    ("GET", "/v1/cameras/{name}/canvases.png", 503, {"name": "late"}),
    ("POST", "/v1/cameras/{name}/ask", 200, {"json": {"question": "who?", "max_tokens": 1, "stream": False}}),
    ("POST", "/v1/cameras/{name}/ask", 404, {"name": "nobody", "json": {"question": "who?"}}),
    ("POST", "/v1/cameras/{name}/ask", 413, {"content": b" " * 65_537, "headers": JSON}),
    ("POST", "/v1/cameras/{name}/ask", 415, {"content": b"{}"}),
    ("POST", "/v1/cameras/{name}/ask", 422, {"json": {}}),
    ("POST", "/v1/cameras/{name}/ask", 503, {"name": "late", "json": {"question": "who?"}}),
    ("GET", "/v1/watches", 200, {}),
    ("GET", "/v1/cameras/{camera}/watches", 200, {}),
    ("GET", "/v1/cameras/{camera}/watches", 404, {"camera": "nobody"}),
    ("PUT", "/v1/cameras/{camera}/watches/{name}", 200, {"json": {"sentence": "a car?"}}),
    ("PUT", "/v1/cameras/{camera}/watches/{name}", 404, {"camera": "nobody", "json": {"sentence": "a car?"}}),
    ("PUT", "/v1/cameras/{camera}/watches/{name}", 413, {"content": b" " * 65_537, "headers": JSON}),
    ("PUT", "/v1/cameras/{camera}/watches/{name}", 415, {"content": b"{}"}),
    ("PUT", "/v1/cameras/{camera}/watches/{name}", 422, {"json": {"sentence": 1}}),
    ("DELETE", "/v1/cameras/{camera}/watches/{name}", 204, {}),
    ("DELETE", "/v1/cameras/{camera}/watches/{name}", 404, {"name": "none"}),
    ("GET", "/v1/cameras/{name}/snapshot.jpg", 404, {"name": "nobody"}),
    ("GET", "/v1/cameras/{name}/snapshot.jpg", 503, {"name": "late"}),
    ("GET", "/v1/cameras/{name}/clip.mp4", 200, {"params": {"start": "-4", "end": "-1"}}),
    ("GET", "/v1/cameras/{name}/clip.mp4", 206, {"params": {"start": "-4", "end": "-1"}, "headers": {"Range": "bytes=0-9"}}),
    (
        "GET",
        "/v1/cameras/{name}/clip.mp4",
        416,
        {"params": {"start": "-4", "end": "-1"}, "headers": {"Range": "bytes=999999999-"}},
    ),
    ("GET", "/v1/cameras/{name}/clip.mp4", 404, {"name": "late", "params": {"start": "-4", "end": "-1"}}),
    ("GET", "/v1/cameras/{name}/clip.mp4", 422, {}),
    ("GET", "/v1/events/{event_id}/snapshot.jpg", 404, {"event_id": "none"}),
    ("GET", "/v1/events/{event_id}/clip.mp4", 404, {"event_id": "none"}),
    ("GET", "/v1/events", 200, {}),
    ("GET", "/v1/events", 422, {"params": {"limit": "0"}}),
    ("GET", "/v1/events/stream", 422, {"params": {"kind": "none"}}),
    ("GET", "/v1/status", 200, {}),
    ("GET", "/v1/config/schema.json", 200, {}),
    ("GET", "/healthz", 200, {}),
    ("GET", "/readyz", 503, {}),
    ("POST", "/whip/{name}", 404, {"name": "nobody", "headers": SDP}),
    ("POST", "/whip/{name}", 409, {"name": "front", "headers": SDP}),
    ("POST", "/whip/{name}", 406, {"name": "phone", "content": OFFER.replace("H264", "VP9"), "headers": SDP}),
    ("POST", "/whip/{name}", 413, {"name": "phone", "content": b"v=0\r\n" * 20_000, "headers": SDP}),
    ("POST", "/whip/{name}", 415, {"name": "phone", "content": b"v=0"}),
    ("POST", "/whip/{name}", 422, {"name": "phone", "content": b"v=0", "headers": SDP}),
    ("POST", "/whip/{name}", 201, {"name": "phone", "content": OFFER, "headers": SDP}),
    ("POST", "/whep/{name}", 404, {"name": "nobody", "headers": SDP}),
    ("POST", "/whep/{name}", 409, {"name": "late", "headers": SDP}),
    ("POST", "/whep/{name}", 415, {"name": "phone"}),
    *(
        case
        for kind in ("whip", "whep")
        for case in (
            ("GET", f"/{kind}/{{name}}", 204, {}),
            ("HEAD", f"/{kind}/{{name}}", 204, {}),
            ("OPTIONS", f"/{kind}/{{name}}", 200, {}),
            ("GET", f"/{kind}/{{name}}/{{secret}}", 404, {}),
            ("HEAD", f"/{kind}/{{name}}/{{secret}}", 404, {}),
            ("PATCH", f"/{kind}/{{name}}/{{secret}}", 404, {}),
            ("DELETE", f"/{kind}/{{name}}/{{secret}}", 404, {}),
            ("OPTIONS", f"/{kind}/{{name}}/{{secret}}", 200, {}),
        )
    ),
    ("GET", "/publish/{name}", 200, {}),
    ("GET", "/live/{name}", 200, {}),
]
"""Method, route, status, and what gets it there."""


@pytest.fixture(scope="module")
def described(service: RunningService) -> dict[str, Any]:
    return dict(service.get("/openapi.json").json())


@pytest.mark.parametrize(
    ("method", "route", "status", "given"), CASES, ids=lambda value: str(value) if isinstance(value, int | str) else ""
)
def test_a_status_that_is_answered_is_described(
    service: RunningService, described: dict[str, Any], method: str, route: str, status: int, given: dict[str, Any]
) -> None:
    names = {"name": "car" if "watches" in route else "front", "camera": "front", "secret": "none", "event_id": "none"}
    more = dict(given)
    path = route.format(**{key: more.pop(key, value) for key, value in names.items()})
    told = send(service, method, path, **more)
    assert told.status_code == status, told.text
    assert str(status) in described["paths"][route][method.lower()]["responses"]
    if status >= 400 and method != "HEAD" and path != "/readyz":
        assert set(told.json()) == {"error"}
        assert {"code", "message"} <= set(told.json()["error"]) <= {"code", "message", "expected", "got", "setting"}
    if status == 503 and path != "/readyz":
        assert int(told.headers["Retry-After"]) >= 1


def test_every_route_is_driven_and_every_refusal_has_the_one_shape(described: dict[str, Any]) -> None:
    driven = {(method, route) for method, route, _, _ in CASES} | {("GET", "/v1/events/stream")}
    served = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert driven >= served
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert {"400", "401", "408", "421", "503"} <= set(operation["responses"]), path
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert "Refusal" in json.dumps(response), (path, status)


NONSENSE = {"If-Match": b'"\xff"', "Range": b"bytes=-", "Origin": b"null", "Accept": b"\xfe/", "Content-Type": b";;"}


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW", "GET"])
@pytest.mark.parametrize(
    "path",
    ["/", "/v1/cameras", "/v1/events", "/whip/phone/%00%ff", "/whep/x/" + "y" * 5000, "/v1/cameras/front/ask", "//", "/%2e%2e"],
)
def test_no_method_on_no_path_is_an_error_of_ours(service: RunningService, method: str, path: str) -> None:
    told = send(service, method, path, content=b"\x00\xff" * 100, headers=NONSENSE)
    assert told.status_code < 500
    if told.status_code >= 400 and method != "HEAD":
        assert set(told.json()) == {"error"}

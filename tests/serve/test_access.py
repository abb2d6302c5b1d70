"""Who may see and do what: tokens for reads and for the embedded broker, names that the service answers to, what browsers are told."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from mqtt_fixtures import Listener, refusal_of
from ov2_cli.main import app
from ov2_client import Client, RefusedError
from repository import TESTS
from service_fixtures import Start, checkpoint, model, over, start, video  # noqa: F401
from typer.testing import CliRunner
from waiting import until

from stream.config.configuration import ServerSettings, parse
from stream.config.host_names import host_of
from stream.serve.hosts import HostGuard
from stream.serve.run import write_ready
from stream.serve.runner import HEADERS, open_doors

# ruff: noqa: F811

TOKENS = {"port": 0, "tokens": ["secret", "other"]}
OPEN = {"/healthz", "/readyz", "/publish/{name}", "/live/{name}"}


def served_reads() -> list[str]:
    """Every GET of the surface, with names put in."""
    lines = (TESTS / "clients" / "surface.txt").read_text().splitlines()
    return [line.split()[2] for line in lines if line.startswith("route GET ")] + ["/openapi.json"]


def filled(path: str) -> str:
    return re.sub(r"\{(name|camera)\}", "front", re.sub(r"\{event_id\}", "1700000000.000000-abcdef", path)).replace(
        "{secret}", "x"
    )


def test_where_tokens_are_set_every_read_needs_one_but_health_and_the_two_pages(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, server=TOKENS)
    service.camera_when("front", over)
    for path in served_reads():
        if path == "/v1/events/stream":
            continue  # with a token it never ends; without one it is below
        without = httpx.get(service.url + filled(path), timeout=60)
        wrong = httpx.get(service.url + filled(path), headers={"Authorization": "Bearer wrong"}, timeout=60)
        assert (without.status_code != 401) == (wrong.status_code != 401) == (path in OPEN), path
        assert service.get(filled(path)).status_code != 401, path
    assert httpx.get(service.url + "/v1/events/stream", timeout=60).status_code == 401
    assert httpx.get(service.url + "/v1/cameras/front/snapshot.jpg?token=secret", timeout=60).status_code == 401
    assert "secret" not in httpx.get(service.url + "/v1/status", timeout=60).text


def test_strangers_hear_that_the_service_is_ready_and_not_of_what_cameras(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, server=TOKENS)
    service.camera_when("front", over)
    assert httpx.get(service.url + "/readyz", timeout=60).json() == {"ready": False}
    assert httpx.get(service.url + "/healthz", timeout=60).json() == {"ok": True}
    assert service.get("/readyz").json() == {"ready": False, "cameras": {"front": "offline"}}


def test_open_reads_shows_everything_changes_nothing_and_keeps_the_brokers_port_to_itself(
    start: Start, video: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, server={**TOKENS, "open_reads": True})
    service.camera_when("front", over)
    assert "server.open_reads: whoever reaches the service" in caplog.text
    for path in ("/v1/cameras", "/v1/cameras/front/canvases.png", "/v1/events", "/v1/watches", "/openapi.json", "/docs"):
        assert httpx.get(service.url + path, timeout=60).status_code == 200, path
    assert httpx.get(service.url + "/readyz", timeout=60).json()["cameras"] == {"front": "offline"}
    assert httpx.get(service.url + "/v1/status", timeout=60).json()["mqtt"]["port"] is None
    assert service.get("/v1/status").json()["mqtt"]["port"] == service.mqtt_port
    ask = httpx.post(service.url + "/v1/cameras/front/ask", json={"question": "who?"}, timeout=60)
    assert ask.status_code == 401
    assert httpx.get(service.url + "/whep/front", timeout=60).status_code == 401


def test_with_tokens_the_embedded_broker_takes_only_those_who_know_what_the_ready_line_says(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, server=TOKENS)
    service.camera_when("front", over)
    username, password = service.mqtt["username"], service.mqtt["password"]
    assert refusal_of(service.mqtt_port) == "Not authorized"
    inside = Listener(service.mqtt_port, username=username, password=password)
    inside.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"online")
    inside.send("ov2/ask", json.dumps({"id": "q1", "camera": "front", "question": "who?", "max_tokens": 2}))
    assert json.loads(inside.wait_for(lambda m: m.topic == "ov2/answer/q1").payload)["camera"] == "front"
    inside.send("ov2/front/person/config", json.dumps({"sentence": "Is there a person?"}))
    inside.wait_for(lambda m: m.topic == "ov2/front/person/state")
    status = service.get("/v1/status").json()["mqtt"]
    assert (status["connected"], status["problem"], status["refused"]) == (True, "", {"unauthorized": 1})
    assert password not in service.get("/v1/status").text
    (kept,) = Path(str(service.runner.service.config.data)).glob("mqtt.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text())["password"] == password
    inside.close()


def test_the_brokers_credentials_are_the_same_after_a_restart(start: Start, video: Path, tmp_path: Path) -> None:
    told = []
    for _ in range(2):
        service = start({"front": {"url": str(video)}}, server=TOKENS, data=str(tmp_path / "kept"))
        told.append(service.mqtt["password"])
        service.end()
    assert told[0] == told[1]
    assert len(told[0]) >= 32


def test_a_password_of_the_configuration_guards_the_embedded_broker_too(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "loop": True}}, mqtt={"username": "house", "password": "mine"})
    assert refusal_of(service.mqtt_port) == "Not authorized"
    listener = Listener(service.mqtt_port, username="house", password="mine")
    listener.wait_for(lambda m: m.topic == "ov2/available")
    listener.close()
    assert not list(service.runner.service.config.data.glob("mqtt.json")), "it is in the configuration already"


def test_without_tokens_the_broker_on_loopback_is_open_and_its_death_is_told_in_the_status(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "loop": True}})
    assert set(service.mqtt) == {"host", "port", "prefix", "embedded"}
    listener = Listener(service.mqtt_port)
    listener.wait_for(lambda m: m.topic == "ov2/available")
    listener.close()
    broker = service.runner.service.delivery._broker
    assert broker is not None
    assert broker._loop is not None
    broker._loop.call_soon_threadsafe(broker._loop.stop)
    until(lambda: "its thread has ended" in service.get("/v1/status").json()["mqtt"]["problem"])
    assert service.get("/healthz").status_code == 200


def test_the_sdk_and_commands_send_their_token_for_reads(start: Start, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, server=TOKENS)
    service.camera_when("front", over)
    with Client(service.url, token="secret") as client:
        assert [camera.name for camera in client.cameras()] == ["front"]
        assert client.ask("front", "who?", max_tokens=2).answer().camera == "front"
        assert client.canvases("front").startswith(b"\x89PNG")
        assert client.events().entries
        assert client.status()["mqtt"]["connected"] in (True, False)
    with Client(service.url) as stranger, pytest.raises(RefusedError) as caught:
        stranger.cameras()
    assert caught.value.status == 401
    for command in (["events", "--json"], ["watch", "list", "--json"], ["ask", "front", "who?", "--max-tokens", "2"]):
        asked = [*command, "--server", service.url]
        assert CliRunner().invoke(app, asked).exit_code != 0, command
        assert CliRunner().invoke(app, [*asked, "--token", "other"]).exit_code == 0, command
        with monkeypatch.context() as patched:
            patched.setenv("OV2_TOKEN", "secret")
            assert CliRunner().invoke(app, asked).exit_code == 0, command


def guarded(hosts: tuple[str, ...], host: str, refused: Counter[str]) -> tuple[int, bytes]:
    """Status and body of what comes back for a Host header, from behind the guard or from the guard itself."""
    sent: list[Any] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing of the body is needed")

    headers = [(b"host", host.encode("latin-1")), (b"x-forwarded-host", b"localhost")]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    asyncio.run(HostGuard(inside, hosts=hosts, refused=refused)(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8710", 204),
        ("192.0.2.7", 204),
        ("[::1]:8710", 204),
        ("[2001:DB8::1]", 204),
        ("localhost:8710", 204),
        ("LOCALHOST.", 204),
        ("nvr.example.org", 204),
        ("NVR.Example.ORG.:443", 204),
        ("a.lan.example", 204),
        ("a.b.lan.example:80", 204),
        (socket.gethostname(), 204),
        ("lan.example", 421),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("nvr.example.org.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("2130706433", 421),
        ("0x7f.1", 421),
        ("", 400),
        ("::1", 400),
        ("[::1", 400),
        ("[::1]x", 400),
        ("localhost:port", 400),
        ("me@localhost", 400),
        ("http://localhost", 400),
        ("localhost/x", 400),
        ("two hosts", 400),
        ("b\xe4d.example", 400),
    ],
)
def test_the_service_answers_to_addresses_and_known_names_alone(host: str, status: int) -> None:
    refused: Counter[str] = Counter()
    answered, body = guarded(("nvr.example.org", "*.lan.example"), host, refused)
    assert answered == status
    if status != 204:
        assert json.loads(body)["error"]["setting"] == "server.hosts"
        assert refused.total() == 1


def exchange(port: int, head: str) -> str:
    """The first line that a server says to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(head.encode() + b"\r\n\r\n")
        return client.recv(4096).partition(b"\r\n")[0].decode()


def test_a_page_of_the_internet_cannot_reach_the_service_under_its_own_name(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video)}}, server={"port": 0, "hosts": ["nvr.example.org"]})
    port = int(service.url.rpartition(":")[2])
    for path in ("/v1/cameras", "/healthz", "/publish/front", "/nothing"):
        assert exchange(port, f"GET {path} HTTP/1.1\r\nHost: evil.example:{port}").split()[1] == "421"
    assert exchange(port, "GET /healthz HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost").split()[1] == "421"
    assert exchange(port, "GET /healthz HTTP/1.1\r\nHost: nvr.example.org").split()[1] == "200"
    assert exchange(port, "GET /healthz HTTP/1.0").split()[1] == "400"
    assert exchange(port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example").split()[1] == "400"
    assert service.get("/v1/status").json()["refused"]["unknown_host"] == 5


def test_any_host_is_taken_where_that_is_wished_for_and_a_start_says_what_is_open() -> None:
    def said(**given: Any) -> list[str]:
        return list(open_doors(ServerSettings(**given)))

    assert guarded(("*",), "evil.example", Counter())[0] == 204
    assert said() == []
    assert "server.hosts: *" in said(hosts=("*",))[0]
    assert "without server.tokens" in said(host="0.0.0.0")[0]
    assert said(host="0.0.0.0", tokens=("x",)) == []
    assert "server.open_reads" in said(tokens=("x",), open_reads=True)[0]


@pytest.mark.parametrize("name", ["http://a.example", "a.example:8710", "a*.example", "", "a..b", "-a"])
def test_a_host_that_cannot_be_one_is_refused_with_the_setting(name: str) -> None:
    with pytest.raises(ValueError, match=r"server\.hosts.*expected a host name"):
        parse({"cameras": {"a": {"url": "x.mp4"}}, "server": {"hosts": [name]}}, {})


def test_hosts_are_read_as_browsers_write_them() -> None:
    assert host_of("[2001:DB8::1]:443") == "2001:db8::1"
    assert host_of("NVR.local.:8710") == "nvr.local"


def test_every_answer_tells_browsers_to_believe_no_other_type_and_to_frame_nothing(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, server=TOKENS)
    service.camera_when("front", over)
    for path in ("/healthz", "/publish/front", "/v1/cameras/front/canvases.png", "/v1/nothing", "/docs"):
        answers = [service.get(path), httpx.get(service.url + path, timeout=60)]
        answers.append(httpx.get(service.url + path, headers={"Host": "evil.example"}, timeout=60))
        for answer in answers:
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS, (path, answer.status_code)
    policies = {
        path: service.get(path).headers["content-security-policy"] for path in ("/publish/front", "/live/front", "/docs")
    }
    for path, policy in policies.items():
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert (rules["default-src"], rules["frame-ancestors"], rules["connect-src"]) == ("'none'", "'none'", "'self'")
        assert "'unsafe-inline'" not in rules["script-src"], path
        assert "'sha256-" in rules["script-src"], path
    assert "unsafe" not in policies["/publish/front"] + policies["/live/front"]


def test_the_ready_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    ready.write_text("of before")
    ready.chmod(0o644)
    write_ready(ready, '{"mqtt": {"password": "x"}}')
    assert stat.S_IMODE(ready.stat().st_mode) == 0o600

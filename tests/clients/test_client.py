"""The SDK and `ov2 ask` against a real service, and the SDK against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ov2_cli.ask import is_source
from ov2_cli.main import app
from ov2_client import Answer, AsyncClient, Client, ConnectionFailedError, ProtocolError, RefusedError, Token
from ov2_client.wire import EventReader
from ports import free_port
from service_fixtures import Start, checkpoint, model, start, video  # noqa: F401
from typer.testing import CliRunner

# ruff: noqa: F811


@contextmanager
def server_that_says(body: bytes, status: int = 200, kind: str = "text/event-stream") -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_answer_comes_as_tokens_and_then_as_a_whole(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}})
    service.camera_when("front", lambda status: status["state"] == "offline")
    with Client(service.url) as client:
        *tokens, answer = client.ask("front", "who?", max_tokens=5)
        assert all(isinstance(token, Token) for token in tokens)
        assert isinstance(answer, Answer)
        assert "".join(token.text for token in tokens if isinstance(token, Token)).strip() == answer.answer
        assert answer.evidence[0].end > answer.evidence[0].start
        assert client.ask("front", "who?", max_tokens=5).answer().answer == answer.answer
        (camera,) = client.cameras()
        assert (camera.name, camera.frames) == ("front", 40)
        assert client.status()["mqtt"]["embedded"] is True
        assert client.timeline("front").groups[-1]["closed_by"] == "end"
        assert client.canvases("front").startswith(b"\x89PNG")


def test_the_asyncio_client_gives_the_same(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}})
    service.camera_when("front", lambda status: status["state"] == "offline")

    async def main() -> None:
        async with AsyncClient(service.url) as client:
            parts = [part async for part in client.ask("front", "who?", max_tokens=5)]
            assert isinstance(parts[-1], Answer)
            whole = await client.ask("front", "who?", max_tokens=5).answer()
            assert whole.answer == parts[-1].answer
            assert [camera.name for camera in await client.cameras()] == ["front"]
            assert (await client.timeline("front")).num_groups >= 1
            assert (await client.canvases("front")).startswith(b"\x89PNG")
            with pytest.raises(RefusedError, match="did you mean front"):
                await client.ask("frnt", "who?").answer()

    asyncio.run(main())


def test_a_refusal_carries_status_code_and_the_time_to_wait(start: Start) -> None:
    service = start({"front": {"url": f"listen:rtsp://127.0.0.1:{free_port()}/x"}})
    with Client(service.url) as client:
        with pytest.raises(RefusedError) as caught:
            client.ask("front", "who?").answer()
        assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (503, "not_ready", 1.0)
        with pytest.raises(RefusedError) as caught:
            client.ask("../cameras", "who?").answer()
        assert caught.value.status == 404


def test_a_service_that_is_not_there_is_our_own_error() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(ConnectionFailedError, match="expected a running service, got ConnectError"):
            client.cameras()
        with pytest.raises(ConnectionFailedError):
            client.ask("front", "who?").answer()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'event: token\ndata: {"text": "a"}\n\n', "expected a final answer, the connection ended before it"),
        (b"event: token\ndata: {broken\n\n", "event token: expected JSON"),
        (b'event: token\ndata: {"txt": "a"}\n\n', "Token: expected keys text"),
        (b'event: answer\ndata: ["a"]\n\n', "Answer: expected a JSON object, got list"),
    ],
)
def test_an_answer_that_makes_no_sense_is_a_protocol_error(body: bytes, expected: str) -> None:
    with server_that_says(body) as url, Client(url) as client, pytest.raises(ProtocolError, match=expected):
        client.ask("front", "who?").answer()


def test_an_error_in_the_middle_of_an_answer_is_raised() -> None:
    body = b'event: error\ndata: {"error": {"code": "not_ready", "message": "the service is stopping"}}\n\n'
    with server_that_says(body) as url, Client(url) as client, pytest.raises(RefusedError, match="stopping"):
        client.ask("front", "who?").answer()


def test_a_proxy_that_answers_with_html_is_still_an_error_with_its_status() -> None:
    with server_that_says(b"<html>", 502, "text/html") as url, Client(url) as client, pytest.raises(RefusedError) as caught:
        client.ask("front", "who?").answer()
    assert caught.value.status == 502


def test_events_are_read_whatever_their_spacing_and_comments() -> None:
    reader = EventReader()
    lines = [": ping", "", "event:token", 'data:{"text":', 'data: "a"}', "id: 7", ""]
    assert [found for line in lines if (found := reader.feed(line))] == [("token", {"text": "a"})]


def test_the_sdk_imports_nothing_of_the_service() -> None:
    script = (
        "import sys, ov2_client; print(sorted({m.split('.')[0] for m in sys.modules} & {'ov2', 'stream', 'torch', 'trainer'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=110)
    assert done.stdout.strip() == "[]"


def test_ov2_ask_asks_a_camera_of_the_service_by_name(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}})
    service.camera_when("front", lambda status: status["state"] == "offline")
    said = CliRunner().invoke(app, ["ask", "front", "who?", "--server", service.url, "--max-tokens", "4"])
    assert said.exit_code == 0
    assert "frames, newest" in said.stdout


def test_ov2_ask_opens_a_file_and_shows_what_it_saw(checkpoint: Path, video: Path) -> None:
    said = CliRunner().invoke(app, ["ask", str(video), "who?", "--model", str(checkpoint), "--max-tokens", "4", "--json"])
    assert said.exit_code == 0, said.output
    answer = json.loads(said.stdout)
    assert answer["window"]["end_s"] == pytest.approx(4.0, abs=0.6)
    assert answer["num_tokens"] <= 4


@pytest.mark.parametrize(
    ("text", "source"), [("front", False), ("back_yard-2", False), ("rtsp://h/x", True), ("clip.mp4", True), ("/a/b", True)]
)
def test_a_name_is_a_camera_and_a_url_or_path_is_a_source(text: str, source: bool) -> None:
    assert is_source(text) is source

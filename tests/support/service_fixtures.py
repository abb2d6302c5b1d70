"""A small checkpoint with random weights, a real video file, and the service itself. No test in here."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from small_model import byte_tokenizer_json, small_model

from stream.config.configuration import ModelSettings, parse
from stream.errors import StreamError
from stream.serve.listening import listen
from stream.serve.run import load_model
from stream.serve.runner import Runner

WAIT_S = 60.0


def write_checkpoint(folder: Path) -> Path:
    """A released-layout folder: loads in a moment, answers nonsense."""
    folder.mkdir(parents=True, exist_ok=True)
    small_model().save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(byte_tokenizer_json()))
    stream = {
        "tokenizer": {"preset": "published", "token_rate": 60.0, "max_pixels": 56 * 56},
        "max_positions": 4096,
        "max_timestamp_s": 90.0,
    }
    (folder / "stream.json").write_text(json.dumps(stream))
    return folder


def write_video(path: Path, *, seconds: float = 4.0, fps: int = 10, codec: str = "libx264") -> Path:
    """A square that moves over a still picture, and jumps in the middle."""
    background = np.random.default_rng(0).integers(60, 120, (96, 160, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        options = {"g": "20", "tune": "zerolatency", "preset": "veryfast", "threads": "1"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height = 160, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, fps)
        for index in range(round(seconds * fps)):
            picture = background.copy()
            left = (3 * index + (60 if index > seconds * fps / 2 else 0)) % 120
            picture[30:60, left : left + 30] = (220, 40, 40)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class RunningService:
    """The service with its real HTTP server on a free port, in a thread of this process."""

    def __init__(self, config: dict[str, Any], model: Any) -> None:
        self.runner: Runner
        self.status: int | None = None
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        self._config = parse(config, {})
        self._model = model
        self._addresses: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._main)
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        if self._failure is not None:
            self._thread.join(WAIT_S)
            raise self._failure

    def _main(self) -> None:
        server = self._config.server
        try:
            with listen(server.host, server.port) as listening:
                self.runner = Runner(self._config, self._model, listening, ready=self._told)
                self.status = asyncio.run(self.runner.run())
        except StreamError as error:
            self._failure = error
        finally:
            self._ready.set()

    def _told(self, line: str) -> None:
        self._addresses = json.loads(line)
        self._ready.set()

    @property
    def url(self) -> str:
        return str(self._addresses["http"])

    @property
    def mqtt(self) -> dict[str, Any]:
        """What the ready line says of the broker."""
        return dict(self._addresses["mqtt"])

    @property
    def mqtt_port(self) -> int:
        return int(self.mqtt["port"])

    @property
    def headers(self) -> dict[str, str]:
        """Of a client that has a token, where tokens are set."""
        tokens = self._config.server.tokens
        return {"Authorization": f"Bearer {tokens[0].get_secret_value()}"} if tokens else {}

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=self.headers, timeout=WAIT_S)

    def camera(self, name: str) -> dict[str, Any]:
        return dict(self.get(f"/v1/cameras/{name}").json())

    def camera_when(self, name: str, test: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask until a camera's status passes: the request itself is the wait."""
        deadline = time.monotonic() + WAIT_S
        while not test(status := self.camera(name)):
            assert time.monotonic() < deadline, status
        return status

    def ask(self, name: str, **body: Any) -> httpx.Response:
        return httpx.post(
            f"{self.url}/v1/cameras/{name}/ask", json={"stream": False, **body}, headers=self.headers, timeout=WAIT_S
        )

    def end(self) -> int | None:
        self.runner.stop()
        self._thread.join(WAIT_S)
        if self._thread.is_alive():
            faulthandler.dump_traceback()
            for task in asyncio.all_tasks(self.runner.loop) if self.runner.loop is not None else ():
                task.print_stack()
            raise AssertionError("the service did not stop; see standard error for what it waits for")
        return self.status


Start = Callable[..., RunningService]


def over(status: dict[str, Any]) -> bool:
    """Of a camera's status: its file has been read to its end."""
    return bool(status["reason"] == "the stream has ended")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "yard.mp4")


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> Any:
    return load_model(ModelSettings(path=str(checkpoint)))


@pytest.fixture
def start(model: Any, tmp_path: Path) -> Iterator[Start]:
    """Start services: `start({"front": {...}}, mqtt={...})`; all are stopped in the end. Each keeps its data in a folder of its own."""
    started: list[RunningService] = []

    def start_one(cameras: dict[str, Any], **more: Any) -> RunningService:
        data = str(tmp_path / f"data-{len(started)}")
        started.append(RunningService({"cameras": cameras, "server": {"port": 0}, "data": data, **more}, model))
        return started[-1]

    with ExitStack() as ending:  # all of them, though one should fail to
        yield start_one
        for service in started:
            ending.callback(service.end)

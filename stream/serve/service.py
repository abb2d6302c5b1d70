"""The service: cameras, the engine, events; start, run, stop.

In: a `Config` and a model. Out: cameras that are watched, questions that are answered, events that are published. It knows
nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
import time
from collections.abc import Callable
from importlib.metadata import version

from ov2.engine import Engine, EngineSettings
from ov2.model import OV2Model
from ov2.session_settings import SessionSettings
from stream.codec.evidence import warm_up
from stream.errors import SettingsError
from stream.events.broker import EmbeddedBroker
from stream.events.event import Change
from stream.events.mqtt import Broker, Publisher
from stream.serve.camera import Camera
from stream.serve.config import CameraSettings, Config
from stream.serve.errors import QuestionError, UnknownCameraError, nothing_seen
from stream.serve.feed import Feed
from stream.serve.question import Item, Question, Sampling
from stream.serve.states import MQTT_STATUS
from stream.serve.wire import AskRequest, BrokerStatus, CameraStatus, EngineStatus, ServiceStatus
from stream.tokenizer.settings import settings_from
from stream.tokenizer.tokenizer import Tokenizer

VERSION = version("ov2-live")
MQTT_PORT = 1883
"""The registered one (MQTT 3.1.1, 4.2)."""

log = logging.getLogger(__name__)


class Service:
    """`await start()`, ask, `await stop()`. `on_failure` is told when the model's thread dies.

    Raises `SettingsError` when a camera's tokenizer or session settings are out of range."""

    def __init__(self, config: Config, model: OV2Model, *, on_failure: Callable[[], None] = lambda: None) -> None:
        self.config = config
        self._model = model
        self._started_s = time.time()
        server = config.server
        options = config.engine
        engine = EngineSettings(
            session=SessionSettings(**config.session.given),
            max_streams=len(config.cameras),
            num_pages=options.num_pages,
            memory_share=options.memory_share,
            kv_dtype=options.kv_dtype,
            step_tokens=options.step_tokens,
            max_answers=server.max_branches,
            max_questions=server.max_questions,
        )
        self._engine = Engine(model, engine, on_failure=lambda error: on_failure())
        self._broker: EmbeddedBroker | None = None
        self._publisher: Publisher | None = None
        self._reporter: asyncio.Task[None] | None = None
        try:
            self._cameras = {name: self._camera(name, settings) for name, settings in config.cameras.items()}
        except BaseException:
            self._engine.close()
            raise

    def _camera(self, name: str, settings: CameraSettings) -> Camera:
        trained = self._model.stream_settings.get("tokenizer", {})
        try:
            tokenizing = settings_from({**trained, **self.config.tokenizer.given, **settings.tokenizer.given})
        except SettingsError as error:
            raise SettingsError(f"cameras.{name}.{error}") from None
        session = SessionSettings(**{**self.config.session.given, **settings.session.given})
        stream = self._engine.open(name, session, max_waiting_groups=settings.pending_groups)
        return Camera(
            name, settings, Feed(name, Tokenizer(tokenizing), stream), on_event=self._event, on_state=self._status_changed
        )

    async def start(self) -> None:
        """Raises `PublishError` when the embedded broker cannot listen."""
        mqtt = self.config.mqtt
        host, port = mqtt.host, MQTT_PORT if mqtt.port is None else mqtt.port
        if host is None:
            self._broker = EmbeddedBroker(port=mqtt.port or 0)
            await asyncio.to_thread(self._broker.start)
            host, port = self._broker.host, self._broker.port
        target = Broker(
            host=host,
            port=port,
            username=mqtt.username,
            password=mqtt.password.get_secret_value() if mqtt.password else None,
            client_id=mqtt.client_id,
            tls=mqtt.tls,
            keepalive_s=mqtt.keepalive_s,
        )
        self._publisher = Publisher(target, prefix=mqtt.prefix, queue_messages=mqtt.queue_messages)
        self._publisher.start()
        await asyncio.to_thread(warm_up)
        for camera in self._cameras.values():
            self._status_changed(camera)
            camera.start()
        self._reporter = asyncio.create_task(self._report())

    async def stop(self) -> None:
        """Cameras first, then the engine, then the broker hears `offline`."""
        for camera in self._cameras.values():
            camera.end()
        await asyncio.to_thread(self._engine.close)
        await asyncio.gather(*(asyncio.to_thread(camera.join) for camera in self._cameras.values()))
        if self._reporter is not None:
            self._reporter.cancel()
            await asyncio.gather(self._reporter, return_exceptions=True)
        if self._publisher is not None:
            for name in self._cameras:
                self._publisher.state(f"{name}/status", "offline")
            await self._publisher.stop()
        if self._broker is not None:
            await asyncio.to_thread(self._broker.stop)

    def refuse_questions(self) -> None:
        """The first step of stopping: every answer on its way ends now, so that connections can close."""
        self._engine.refuse()

    @property
    def alive(self) -> bool:
        return self._engine.alive

    @property
    def failure(self) -> BaseException | None:
        """What the model's thread died of."""
        return self._engine.failure

    async def ask(self, camera: str, request: AskRequest, tell: Callable[[Item], None]) -> Question:
        """Queue a question; what becomes of it goes to `tell`. Raises `ServeError` when it cannot be asked."""
        watched = self.camera(camera)
        text = request.question.strip()
        if not text:
            raise QuestionError("question: expected some text, got none", expected="some text", got="none", setting="question")
        longest = self.config.server.max_tokens
        if request.max_tokens > longest:
            raise QuestionError(
                f"max_tokens: expected at most {longest}, got {request.max_tokens}; set server.max_tokens",
                expected=f"at most {longest}",
                got=str(request.max_tokens),
                setting="server.max_tokens",
            )
        if not watched.num_frames:
            raise nothing_seen(camera)
        sampling = Sampling(
            max_tokens=request.max_tokens, temperature=request.temperature, top_p=request.top_p, seed=request.seed
        )
        question = Question(camera, text, sampling, tell)
        await asyncio.to_thread(watched.feed.ask, question)
        return question

    def camera(self, name: str) -> Camera:
        """Raises `UnknownCameraError`, naming the nearest."""
        if name in self._cameras:
            return self._cameras[name]
        known = ", ".join(self._cameras)
        close = difflib.get_close_matches(name, self._cameras, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]}?" if close else "add it to the configuration"
        raise UnknownCameraError(
            f"camera {name[:64]!r}: expected one of {known}; {hint}", expected=known, got=name[:64], setting="cameras"
        )

    def cameras(self) -> list[CameraStatus]:
        return [camera.status() for camera in self._cameras.values()]

    def status(self) -> ServiceStatus:
        """Waits for the engine's figures, which come between two steps."""
        assert self._publisher is not None, "the service has not started"
        publisher = self._publisher
        return ServiceStatus(
            version=VERSION,
            model=self.config.model.path,
            uptime_s=round(time.time() - self._started_s, 1),
            questions=self._engine.num_questions,
            engine=EngineStatus.model_validate(self._engine.stats(), from_attributes=True),
            mqtt=BrokerStatus(
                host=publisher.broker.host,
                port=publisher.broker.port,
                prefix=publisher.prefix,
                embedded=self._broker is not None,
                connected=publisher.connected.is_set(),
                dropped=publisher.dropped,
            ),
        )

    def _event(self, change: Change) -> None:
        if self._publisher is not None:
            self._publisher.event(change)

    def _status_changed(self, camera: Camera) -> None:
        if self._publisher is not None:
            self._publisher.state(f"{camera.name}/status", MQTT_STATUS[camera.states.state])

    async def _report(self) -> None:
        assert self._publisher is not None
        while True:
            await asyncio.sleep(self.config.mqtt.state_every_s)
            for camera in self._cameras.values():
                self._publisher.state(f"{camera.name}/state", json.dumps(camera.figures()))

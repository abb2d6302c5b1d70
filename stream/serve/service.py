"""The service: cameras, the engine, events; start, run, stop.

In: a `Config` and a model. Out: cameras that are watched, questions that are answered, events that are published. It knows
nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from importlib.util import find_spec

from ov2.engine import Engine, EngineSettings
from ov2.model import OV2Model
from ov2.session_settings import SessionSettings
from stream.camera.camera import Camera
from stream.camera.errors import QuestionError, nothing_seen
from stream.camera.pipeline import CameraPipeline
from stream.camera.question import Item, Question
from stream.camera.recording import Recorder
from stream.camera.remote_tokenizer import tokenizer_of
from stream.camera.status import CameraStatus
from stream.camera.workers import Workers
from stream.config.configuration import CameraSettings, Config
from stream.errors import RecallError, SettingsError
from stream.events.ending import end
from stream.events.event import Change
from stream.events.journal_entries import new_question_id
from stream.journal.live import LiveState
from stream.memory import Memory, MemorySettings, Summariser
from stream.memory.when import Times, times_of
from stream.serve.alerts import Alerts
from stream.serve.clips import Clips
from stream.serve.damage import found_damaged
from stream.serve.delivery import Delivery
from stream.serve.errors import UnknownCameraError
from stream.serve.journal_sink import JournalSink
from stream.serve.mqtt_requests import MqttRequests
from stream.serve.process_memory import give_back
from stream.serve.watches import WatchKeeper
from stream.serve.wire import AskRequest, EngineStatus, ServiceStatus, WatchStatus
from stream.sources.address import parse_address
from stream.sources.states import CameraState
from stream.tokenizer.settings import settings_from
from stream.watch.settings import WatchSettings
from stream.webrtc.sessions import WebRtcSessions

VERSION = version("ov2-live")

MQTT_STATUS = {
    CameraState.CONNECTING: "offline",
    CameraState.LIVE: "online",
    CameraState.DEGRADED: "degraded",
    CameraState.STALLED: "degraded",
    CameraState.OFFLINE: "offline",
    CameraState.DISABLED: "disabled",
}
"""The words of the `<camera>/status` topic."""

STOP_S = 5.0
"""Longest wait for each part when stopping."""
REDIS = ("redis://", "rediss://", "unix://")
KEPT_TURNS = 3
"""Live state in Redis is gone when it was not told for so many turns."""
WATCHES_FILE = "watches.json"
"""In the data folder: watches that were made while the service ran."""

log = logging.getLogger(__name__)


class Service:
    """`await start()`, ask, `await stop()`. `on_failure` is told when the model's thread dies.

    Raises `SettingsError` when a camera's tokenizer or session settings are out of range."""

    def __init__(self, config: Config, model: OV2Model, *, on_failure: Callable[[], None] = lambda: None) -> None:
        self.config = config
        self.refused: Counter[str] = Counter()
        self.webrtc = WebRtcSessions(config.webrtc, limits=config.ingest.limits(), refused=self.refused)
        self.clips = Clips(config.clips_folder, config.clips, refused=self.refused)
        for name, settings in config.cameras.items():
            self._open_webrtc(name, settings)
        self._model = model
        self._started_s = time.time()
        server = config.server
        options = config.engine
        engine = EngineSettings(
            session=SessionSettings(**config.session.given),
            max_streams=len(config.cameras) + config.watches.max_zones,
            num_pages=options.num_pages,
            memory_share=options.memory_share,
            kv_dtype=options.kv_dtype,
            step_tokens=options.step_tokens,
            max_answers=server.max_branches,
            max_questions=server.max_questions,
        )
        self.delivery = Delivery(config, VERSION)
        self._engine = Engine(model, engine, on_failure=lambda error: on_failure())
        self._reporter: asyncio.Task[None] | None = None
        self._memories: list[Memory] = []
        self._workers = Workers(config.ingest.workers, num_cameras=len(config.cameras))
        try:
            pipelines = {name: self._pipeline(name, settings) for name, settings in config.cameras.items()}
            self.watches = WatchKeeper(
                pipelines,
                {name: dict(settings.watches) for name, settings in config.cameras.items()},
                self._engine,
                path=config.data / WATCHES_FILE,
                on_change=self._watch_changed,
                zone_session=SessionSettings(**config.session.given),
                max_zones=config.watches.max_zones,
                every_s=config.watches.every_s,
                share=config.watches.share,
            )
            self.alerts = Alerts(pipelines, self.delivery, self.watches, config.data, config.watches.caption)
            self._cameras = {name: self._camera(name, settings, pipelines[name]) for name, settings in config.cameras.items()}
        except BaseException:
            self._engine.close()
            for memory in self._memories:
                memory.close()
            raise

    def _open_webrtc(self, name: str, settings: CameraSettings) -> None:
        """Let browsers watch a camera, and publishers come to one that waits for them."""
        self.webrtc.view(name)
        if self._is_published(settings):
            if find_spec("aiortc") is None:
                raise SettingsError(f"cameras.{name}.url: whip needs aiortc; pip install 'ov2-live[webrtc]'")
            self.webrtc.door(name)

    def _is_published(self, settings: CameraSettings) -> bool:
        return settings.enabled and parse_address(settings.url, listen=settings.listen).kind == "whip"

    def _pipeline(self, name: str, settings: CameraSettings) -> CameraPipeline:
        trained = self._model.stream_settings.get("tokenizer", {})
        try:
            tokenizing = settings_from({**trained, **self.config.tokenizer.given, **settings.tokenizer.given})
        except SettingsError as error:
            raise SettingsError(f"cameras.{name}.{error}") from None
        session = SessionSettings(**{**self.config.session.given, **settings.session.given})
        stream = self._engine.open(name, session, max_waiting_groups=settings.pending_groups)
        record = settings.record if settings.enabled else None
        recorder = Recorder(name, record.within(self.config.data), tokenizing) if record is not None else None
        tokenizer = tokenizer_of(name, settings, tokenizing, self.config.ingest, self._workers.next())
        return CameraPipeline(name, tokenizer, stream, memory=self._memory(name), recorder=recorder)

    def _camera(self, name: str, settings: CameraSettings, pipeline: CameraPipeline) -> Camera:
        return Camera(
            name,
            settings,
            pipeline,
            on_event=self.alerts.boundary,
            on_state=self._status_changed,
            on_group=self._hint,
            on_away=self._away,
            on_packet=self.webrtc.view(name).push,
            door=self.webrtc.door(name) if self._is_published(settings) else None,
            policy=self.config.ingest.policy(),
            limits=self.config.ingest.limits(),
        )

    def _memory(self, name: str) -> Memory | None:
        options = self.config.memory
        if not options.enabled:
            return None
        model = self._model
        memory = Memory(
            self.config.memory_folder / name,
            MemorySettings(max_mb=options.max_mb, max_age_days=options.max_age_days),
            summariser=Summariser.of(model.folder, model.stream_settings.get("memory", {})),
        )
        self._memories.append(memory)
        return memory

    async def start(self) -> None:
        """Raises `PublishError` when the embedded broker cannot listen."""
        await self.delivery.start(MqttRequests(self).handlers())
        await asyncio.to_thread(self._workers.start)
        await asyncio.to_thread(self.alerts.start)
        for camera in self._cameras.values():
            self._status_changed(camera)
            camera.start()
        self._reporter = asyncio.create_task(self._report())

    async def stop(self) -> None:
        """Watches and cameras first, then the engine, then the broker hears `offline`. What takes too long is told, and left behind."""
        await _within(STOP_S, "watches", asyncio.to_thread(self.alerts.stop))
        for camera in self._cameras.values():
            camera.end()
        await _within(STOP_S, "webrtc", self.webrtc.close())
        await _within(STOP_S, "clips", asyncio.to_thread(self.clips.close))
        await _within(STOP_S, "engine", asyncio.to_thread(self._engine.close))
        await _within(STOP_S, "cameras", *(asyncio.to_thread(camera.join) for camera in self._cameras.values()))
        await _within(STOP_S, "workers", asyncio.to_thread(self._workers.end))
        await _within(STOP_S, "memory", *(asyncio.to_thread(memory.close) for memory in self._memories))
        if self._reporter is not None:
            await end([self._reporter])
        for name in self._cameras:
            self.delivery.state(f"{name}/status", "offline")
        await _within(STOP_S, "journal and broker", self.delivery.stop())

    def refuse_questions(self) -> None:
        """The first step of stopping: every answer on its way, and who follows events, ends now, so that connections can close."""
        self._engine.refuse()
        self.delivery.end_followers()

    @property
    def alive(self) -> bool:
        return self._engine.alive

    @property
    def failure(self) -> BaseException | None:
        """What the model's thread died of."""
        return self._engine.failure

    async def ask(
        self,
        camera: str,
        request: AskRequest,
        sink: Callable[[Question, Item], None],
        *,
        via: str = "http",
        name: str | None = None,
    ) -> Question:
        """Queue a question; what becomes of it goes to the journal and to `sink`. Raises `ServiceError` when it cannot be asked."""
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
        if not watched.num_frames and request.since is None and request.until is None:
            raise nothing_seen(camera)
        journaled = JournalSink(self.delivery, sink, via)
        ident = name or new_question_id()
        question = Question(camera, text, request.sampling(), journaled, self._times(request), request.recall, id=ident)
        await asyncio.to_thread(watched.feed.ask, question)
        return question

    def _times(self, request: AskRequest) -> Times | None:
        try:
            return times_of(request.since, request.until, time.time())
        except RecallError as error:
            raise QuestionError(str(error), expected="a time in the past", setting="since, until") from None

    def camera(self, name: str) -> Camera:
        """Raises `UnknownCameraError`, naming the nearest."""
        if name in self._cameras:
            return self._cameras[name]
        known = ", ".join(self._cameras)
        close = difflib.get_close_matches(name, self._cameras, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]}?" if close else "add it to the configuration"
        told = f"camera {name[:64]!r}: expected one of {known}; {hint}"
        raise UnknownCameraError(told, expected=known, got=name[:64], setting="cameras")

    def cameras(self) -> list[CameraStatus]:
        return [camera.status() for camera in self._cameras.values()]

    def status(self) -> ServiceStatus:
        """Waits for the engine's figures, which come between two steps."""
        return ServiceStatus(
            version=VERSION,
            model=self.config.model.path,
            uptime_s=round(time.time() - self._started_s, 1),
            questions=self._engine.num_questions,
            engine=EngineStatus.model_validate(self._engine.stats(), from_attributes=True),
            mqtt=self.delivery.broker_status(),
            journal=self.delivery.journal_status(),
            webrtc=self.webrtc.figures(),
            refused=dict(self.refused),
            watches=dict(self.watches.judge.counts),
            workers=self._workers.figures(),
            damaged=found_damaged(self.delivery, self.watches, self.alerts, self._cameras.values()),
            decoded_share={
                name: share for name, camera in self._cameras.items() if (share := camera.decoded_share) is not None
            },
            limits={camera.name: told for camera in self._cameras.values() if (told := camera.feed.limits())},
        )

    def put_watch(self, camera: str, name: str, settings: WatchSettings) -> WatchStatus:
        """Make a watch, or change one; it is kept. Raises `ServiceError`."""
        made = self.watches.put(camera, name, settings)
        self.alerts.announce(camera)
        return made

    def remove_watch(self, camera: str, name: str) -> None:
        """Raises `UnknownWatchError`."""
        self.watches.remove(camera, name)
        self.alerts.withdrawn(camera, name)

    def _watch_changed(self, change: Change) -> None:
        self.alerts.change(change)

    def _hint(self, camera: Camera) -> None:
        self.watches.judge.hint(camera.name)

    def _away(self, camera: Camera) -> None:
        self.watches.judge.away(camera.name)

    def _status_changed(self, camera: Camera) -> None:
        self.delivery.state(f"{camera.name}/status", MQTT_STATUS[camera.states.state])

    async def _report(self) -> None:
        live = self._live_state()
        with contextlib.closing(live) if live is not None else contextlib.nullcontext():
            while True:
                await asyncio.sleep(self.config.mqtt.state_every_s)
                await asyncio.to_thread(give_back)
                for camera in self._cameras.values():
                    self.delivery.state(f"{camera.name}/state", json.dumps(camera.figures()))
                if live is not None:
                    states = {
                        camera.name: {**camera.status().model_dump(), **camera.figures()} for camera in self._cameras.values()
                    }
                    await asyncio.to_thread(live.put, states)

    def _live_state(self) -> LiveState | None:
        """Where the journal is in Redis, other processes find the cameras' states there."""
        url = self.config.journal_url
        if not url.startswith(REDIS):
            return None
        return LiveState(url, name=self.config.journal.name, lasts_s=KEPT_TURNS * self.config.mqtt.state_every_s)


async def _within(seconds: float, what: str, *works: Awaitable[object]) -> None:
    """All of them, for so long."""
    try:
        await asyncio.wait_for(asyncio.gather(*works), seconds)
    except TimeoutError:
        log.error("%s: expected to stop within %.0f s; left behind", what, seconds)

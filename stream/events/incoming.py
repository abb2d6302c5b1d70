"""What clients send us over MQTT: questions, switches, Home Assistant's birth.

In: messages, as they come. Out: calls of what was injected; refusals as replies. Questions that are being answered are bounded, and
so is what waits for them: more are refused at once. A message that makes no sense is counted, told once a second, and dropped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ov2.log_limit import LogLimit
from stream.errors import StreamError
from stream.events.ending import end
from stream.events.journal_entries import new_question_id

LARGEST_MESSAGE = 16 * 1024
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
REMEMBERED = 1000
"""Ids of questions that were taken: one that is delivered twice is answered once."""

Ask = Callable[[str, str, str, Mapping[str, Any]], Awaitable[None]]
"""`await ask(id, camera, question, more)`: ask and record. Raises `StreamError` when it cannot be asked."""
SetFeature = Callable[[str, str, bool], Awaitable[None]]
"""`await set_feature(camera, feature, on)`. Raises `StreamError` for one that is not there."""
SetWatch = Callable[[str, str, Mapping[str, Any] | None], Awaitable[None]]
"""`await set_watch(camera, watch, settings)`; None removes it. Raises `StreamError` for one that cannot be kept."""

log = logging.getLogger(__name__)


async def no_ask(name: str, camera: str, question: str, more: Mapping[str, Any]) -> None:
    raise StreamError("questions over MQTT: expected a service that answers them, there is none")


async def no_watch(camera: str, watch: str, body: Mapping[str, Any] | None) -> None:
    raise StreamError(f"{camera}/{watch}: expected a service that keeps watches")


async def no_feature(camera: str, feature: str, on: bool) -> None:
    raise StreamError(f"{camera}/{feature}: expected a feature that can be switched")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    ask: Ask = no_ask
    set_feature: SetFeature = no_feature
    set_watch: SetWatch = no_watch
    home_assistant_born: Callable[[], None] = lambda: None
    reply: Callable[[str, bytes], None] = lambda topic, payload: None


class Incoming:
    """`topics` are to be subscribed to, `take()` called in the event loop with what they bring."""

    def __init__(
        self, prefix: str, handlers: Handlers, *, birth_topic: str | None = None, max_running: int = 4, max_waiting: int = 16
    ) -> None:
        self.topics = [f"{prefix}/ask", f"{prefix}/+/+/set", f"{prefix}/+/+/config", *([birth_topic] if birth_topic else [])]
        self.num_refused = 0
        self._ask_topic = f"{prefix}/ask"
        self._birth_topic = birth_topic
        self._switch = re.compile(rf"{re.escape(prefix)}/([^/]+)/([^/]+)/set")
        self._config = re.compile(rf"{re.escape(prefix)}/([^/]+)/([^/]+)/config")
        self._handlers = handlers
        self._max_tasks = max_running + max_waiting
        self._running = asyncio.Semaphore(max_running)
        self._tasks: set[asyncio.Task[None]] = set()
        self._taken: OrderedDict[str, None] = OrderedDict()
        self._log_limit = LogLimit()

    def take(self, topic: str, payload: bytes, retained: bool) -> None:
        """One message. Retained ones, which come again at every reconnect, are no wish of now (the birth message is)."""
        if topic == self._birth_topic:
            if payload == b"online" and not retained:
                self._handlers.home_assistant_born()
        elif retained or len(payload) > LARGEST_MESSAGE:
            self._refuse(f"{topic}: expected a message of at most {LARGEST_MESSAGE} bytes that is not retained")
        elif topic == self._ask_topic:
            self._take_question(payload)
        elif found := self._switch.fullmatch(topic):
            self._take_switch(found[1], found[2], payload)
        elif found := self._config.fullmatch(topic):
            self._take_watch(found[1], found[2], payload)

    async def stop(self) -> None:
        await end(self._tasks)

    def _take_question(self, payload: bytes) -> None:
        name, problem, parsed = _question(payload)
        if problem:
            self._refuse_question(name, "bad_question", problem)
        elif name in self._taken:
            return
        elif len(self._tasks) >= self._max_tasks:
            self._refuse_question(name, "at_capacity", f"ask: expected at most {self._max_tasks} questions at once; ask again")
        else:
            self._taken[name] = None
            if len(self._taken) > REMEMBERED:
                self._taken.popitem(last=False)
            self._spawn(self._ask(name, parsed))

    async def _ask(self, name: str, parsed: dict[str, Any]) -> None:
        camera, question = parsed.pop("camera"), parsed.pop("question")
        async with self._running:
            try:
                await self._handlers.ask(name, camera, question, parsed)
            except StreamError as error:
                self._refuse_question(name, getattr(error, "code", "refused"), str(error))
            except Exception:
                log.exception("mqtt: question %s could not be asked", name)
                self._refuse_question(name, "internal", "ask: expected to be asked, it failed; the service's log says more")

    def _take_switch(self, camera: str, feature: str, payload: bytes) -> None:
        if payload not in (b"ON", b"OFF"):
            self._refuse(f"{camera}/{feature}/set: expected ON or OFF")
        elif len(self._tasks) >= self._max_tasks:
            self._refuse(f"{camera}/{feature}/set: expected at most {self._max_tasks} wishes at once")
        else:
            self._spawn(self._set(camera, feature, payload == b"ON"))

    async def _set(self, camera: str, feature: str, on: bool) -> None:
        try:
            await self._handlers.set_feature(camera, feature, on)
        except StreamError as error:
            self._refuse(str(error))

    def _take_watch(self, camera: str, watch: str, payload: bytes) -> None:
        """Settings as JSON, or nothing to remove it."""
        try:
            body = json.loads(payload) if payload else None
        except (ValueError, RecursionError):
            body = payload
        if not isinstance(body, dict | None):
            self._refuse(f"{camera}/{watch}/config: expected a JSON object, or nothing to remove the watch")
        elif len(self._tasks) >= self._max_tasks:
            self._refuse(f"{camera}/{watch}/config: expected at most {self._max_tasks} wishes at once")
        else:
            self._spawn(self._put(camera, watch, body))

    async def _put(self, camera: str, watch: str, body: Mapping[str, Any] | None) -> None:
        try:
            await self._handlers.set_watch(camera, watch, body)
        except StreamError as error:
            self._refuse(str(error))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("mqtt: a message could not be served", exc_info=error)

    def _refuse_question(self, name: str, code: str, problem: str) -> None:
        body = {"id": name, "error": {"code": code, "message": problem}}
        self._handlers.reply(f"answer/{name}", json.dumps(body).encode())
        self._refuse(problem)

    def _refuse(self, problem: str) -> None:
        self.num_refused += 1
        if self._log_limit.allows():
            log.warning("mqtt: %s (%d refused so far)", problem[:300], self.num_refused)


def _question(payload: bytes) -> tuple[str, str, dict[str, Any]]:
    """Id, problem, content. Without an id of their own the answer gets one."""
    try:
        parsed = json.loads(payload)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        return new_question_id(), 'ask: expected {"id", "camera", "question"}, got no JSON object', {}
    name = parsed.pop("id", None) or new_question_id()
    if not isinstance(name, str) or not ID.fullmatch(name):
        return new_question_id(), f"ask.id: expected 1 to 64 of A-Z a-z 0-9 . _ -, got {str(name)[:80]!r}", {}
    for key in ("camera", "question"):
        if not isinstance(parsed.get(key), str) or not parsed[key].strip():
            return name, f"ask.{key}: expected some text, got {str(parsed.get(key))[:80]!r}", {}
    return name, "", parsed

"""What clients wish over MQTT: questions, switches, watches.

In: wishes, as `stream.events.incoming` read them. Out: calls of the service. Raises `ServiceError`, which is told to whoever wished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from stream.camera.camera import Camera
from stream.camera.errors import QuestionError
from stream.camera.question import Bridge, Finished, Item, Question, Refused
from stream.events.incoming import Handlers
from stream.serve.alerts import FEATURES, Alerts
from stream.serve.errors import WatchError
from stream.serve.watches import WatchKeeper
from stream.serve.wire import AskRequest, WatchStatus
from stream.watch.settings import WatchName, WatchSettings


class _NamedWatch(BaseModel):
    """A watch as it comes over MQTT."""

    name: WatchName
    settings: WatchSettings


class Service(Protocol):
    """What they ask of the service (`stream.serve.service.Service`)."""

    @property
    def alerts(self) -> Alerts: ...

    @property
    def watches(self) -> WatchKeeper: ...

    def camera(self, name: str) -> Camera: ...

    def put_watch(self, camera: str, name: str, settings: WatchSettings) -> WatchStatus: ...

    def remove_watch(self, camera: str, name: str) -> None: ...

    async def ask(
        self,
        camera: str,
        request: AskRequest,
        sink: Callable[[Question, Item], None],
        *,
        via: str = "http",
        name: str | None = None,
    ) -> Question: ...


class MqttRequests:
    def __init__(self, service: Service) -> None:
        self._service = service

    def handlers(self) -> Handlers:
        return Handlers(ask=self.ask, set_feature=self.set_feature, set_watch=self.set_watch)

    async def set_feature(self, camera: str, feature: str, on: bool) -> None:
        """Over MQTT: `watching`, `session`, or a watch by its name. Raises `ServiceError`."""
        name = self._service.camera(camera).name
        if feature in FEATURES:
            self._service.alerts.set_feature(name, feature, on)
            return
        settings = self._service.watches.status(name, feature).settings
        await asyncio.to_thread(self._service.put_watch, name, feature, settings.model_copy(update={"enabled": on}))

    async def set_watch(self, camera: str, watch: str, body: Mapping[str, Any] | None) -> None:
        """Over MQTT: a watch as JSON, or None to remove it. Raises `ServiceError`."""
        name = self._service.camera(camera).name
        if body is None:
            await asyncio.to_thread(self._service.remove_watch, name, watch)
            return
        try:
            given = _NamedWatch.model_validate({"name": watch, "settings": body})
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise WatchError(f"{name}/{watch[:64]}: {problems}") from None
        await asyncio.to_thread(self._service.put_watch, name, given.name, given.settings)

    async def ask(self, name: str, camera: str, question: str, more: Mapping[str, Any]) -> None:
        """The answer goes through the journal to MQTT. Raises `ServiceError` when it cannot be asked."""
        try:
            request = AskRequest.model_validate({"question": question, **more})
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise QuestionError(
                f"ask: {problems}", expected=f"a JSON object with {', '.join(AskRequest.model_fields)}"
            ) from None
        bridge = Bridge()
        asked = await self._service.ask(camera, request, bridge.put, via="mqtt", name=name)
        try:
            while not isinstance(await bridge.get(), Finished | Refused):
                pass
        finally:
            asked.cancel()

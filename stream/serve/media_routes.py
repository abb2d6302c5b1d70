"""The HTTP routes of pictures and clips.

In: the service. Out: a router: the newest picture of a camera, a clip of what was recorded, both for an event.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask

from stream.errors import JournalError, PacketLogError
from stream.journal import Query as Wanted
from stream.refusals import Responses, refusals
from stream.serve.errors import RETRY_AFTER_S, NoMediaError, UnreadableError, nothing_seen

if TYPE_CHECKING:
    from stream.serve.service import Service

AROUND_S = 3.0
"""Of what was before an event, and after it, in its clip."""
_JPEG: Responses = {200: {"content": {"image/jpeg": {}}}, **refusals(404)}
_MP4: Responses = {200: {"content": {"video/mp4": {}}}, **refusals(404, 422)}


def media_routes(service: Service) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/cameras/{name}/snapshot.jpg", response_class=Response, responses=_JPEG)
    async def snapshot(name: str) -> Response:
        """The newest picture."""
        jpeg = await asyncio.to_thread(service.camera(name).feed.snapshot)
        if jpeg is None:
            raise nothing_seen(name)
        return Response(jpeg, media_type="image/jpeg")

    @router.get("/v1/cameras/{name}/clip.mp4", response_class=Response, responses=_MP4)
    async def clip(
        name: str,
        start: Annotated[str, Query(max_length=64, description="epoch seconds, ISO 8601, or -30: before the newest")],
        end: Annotated[str, Query(max_length=64)],
    ) -> Response:
        """What was recorded between two moments, not encoded again: from the key frame at or before `start`; the true range is in the
        headers."""
        return await _clip(service, name, start, end)

    @router.get("/v1/events/{event_id}/snapshot.jpg", response_class=Response, responses=_JPEG)
    async def event_snapshot(event_id: str) -> Response:
        """The picture at the beginning of an event."""
        jpeg = await asyncio.to_thread(service.alerts.snapshots.get, event_id)
        if jpeg is None:
            raise NoMediaError(f"event {event_id[:64]!r}: expected a picture, none is kept", expected="the id of a kept event")
        return Response(jpeg, media_type="image/jpeg")

    @router.get("/v1/events/{event_id}/clip.mp4", response_class=Response, responses=_MP4)
    async def event_clip(event_id: str) -> Response:
        """An event, and a few seconds around it."""
        try:
            wanted = Wanted(id=event_id, limit=1, newest_first=True)
            page = await asyncio.to_thread(service.delivery.writer.journal.page, wanted)
        except JournalError as error:
            raise UnreadableError(str(error), expected="a readable journal", retry_after_s=RETRY_AFTER_S) from error
        if not page.entries or "after" not in page.entries[0].body:
            raise NoMediaError(f"event {event_id[:64]!r}: expected an event of the journal", expected="the id of an event")
        event = page.entries[0].body["after"]
        end_s = event["end_time"] or event["frame_time"]
        return await _clip(service, event["camera"], str(event["start_time"] - AROUND_S), str(end_s + AROUND_S))

    return router


async def _clip(service: Service, name: str, start: str, end: str) -> Response:
    recorder = service.camera(name).feed.recorder
    if recorder is None:
        raise NoMediaError(f"camera {name}: expected a recorded camera; set cameras.{name}.record", setting="cameras.record")
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="ov2-clip-"))
    path = folder / "clip.mp4"
    try:
        cut = await asyncio.to_thread(recorder.clip, start, end, path)
    except PacketLogError as error:
        _remove(path)
        raise NoMediaError(f"camera {name}: {error}", expected="a time that was recorded") from None
    start_ms, end_ms = math.floor(cut.start_s * 1000), math.ceil(cut.end_s * 1000)  # outwards: what is said holds what is in it
    headers = {"X-Clip-Start": f"{start_ms / 1000:.3f}", "X-Clip-End": f"{end_ms / 1000:.3f}"}
    return FileResponse(path, media_type="video/mp4", headers=headers, background=BackgroundTask(_remove, path))


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.rmdir()

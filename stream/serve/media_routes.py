"""The HTTP routes of pictures and clips.

In: the service. Out: a router: the newest picture of a camera, a clip of what was recorded, both for an event.
"""

from __future__ import annotations

import hashlib
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.datastructures import Headers

from stream import journal
from stream.camera.errors import RETRY_AFTER_S, nothing_seen
from stream.errors import JournalError
from stream.refusals import Responses, refusals
from stream.serve.clip_cache import ETAG_BYTES
from stream.serve.clips import Asked
from stream.serve.errors import NoMediaError, UnreadableError
from stream.serve.open_file_response import OpenFileResponse, has_tag

if TYPE_CHECKING:
    from stream.serve.service import Service

AROUND_S = 3.0
"""Of what was before an event, and after it, in its clip."""
_UNCHANGED: Responses = {304: {"description": "the client has it: its If-None-Match names it"}}
_JPEG: Responses = {200: {"content": {"image/jpeg": {}}}, **_UNCHANGED, **refusals(404)}
_MP4: Responses = {
    200: {"content": {"video/mp4": {}}},
    206: {"content": {"video/mp4": {}}, "description": "the bytes that Range asked for"},
    **_UNCHANGED,
    **refusals(404, 416, 422),
}


def media_routes(service: Service) -> APIRouter:
    router = APIRouter()

    @router.head("/v1/cameras/{name}/snapshot.jpg", include_in_schema=False)
    @router.get("/v1/cameras/{name}/snapshot.jpg", response_class=Response, responses=_JPEG)
    async def snapshot(name: str, request: Request) -> Response:
        """The newest picture."""
        jpeg = await service.clips.read(service.camera(name).feed.snapshot)
        if jpeg is None:
            raise nothing_seen(name)
        return _picture(request, jpeg)

    @router.head("/v1/cameras/{name}/clip.mp4", include_in_schema=False)
    @router.get("/v1/cameras/{name}/clip.mp4", response_class=Response, responses=_MP4)
    async def clip(
        name: str,
        request: Request,
        start: Annotated[str, Query(max_length=64, description="epoch seconds, ISO 8601, or -30: before the newest")],
        end: Annotated[str, Query(max_length=64)],
    ) -> Response:
        """What was recorded between two moments, not encoded again: from the key frame at or before `start`; the true range is in the
        headers."""
        return await _clip(service, request, name, start, end)

    @router.head("/v1/events/{event_id}/snapshot.jpg", include_in_schema=False)
    @router.get("/v1/events/{event_id}/snapshot.jpg", response_class=Response, responses=_JPEG)
    async def event_snapshot(event_id: str, request: Request) -> Response:
        """The picture at the beginning of an event."""
        jpeg = await service.clips.read(service.alerts.snapshots.get, event_id)
        if jpeg is None:
            raise NoMediaError(f"event {event_id[:64]!r}: expected a picture, none is kept", expected="the id of a kept event")
        return _picture(request, jpeg)

    @router.head("/v1/events/{event_id}/clip.mp4", include_in_schema=False)
    @router.get("/v1/events/{event_id}/clip.mp4", response_class=Response, responses=_MP4)
    async def event_clip(event_id: str, request: Request) -> Response:
        """An event, and a few seconds around it."""
        try:
            wanted = journal.Query(id=event_id, limit=1, newest_first=True)
            page = await service.clips.read(service.delivery.writer.journal.page, wanted)
        except JournalError as error:
            raise UnreadableError(str(error), expected="a readable journal", retry_after_s=RETRY_AFTER_S) from error
        if not page.entries or "after" not in page.entries[0].body:
            raise NoMediaError(f"event {event_id[:64]!r}: expected an event of the journal", expected="the id of an event")
        event = page.entries[0].body["after"]
        end_s = event["end_time"] or event["frame_time"]
        return await _clip(service, request, event["camera"], str(event["start_time"] - AROUND_S), str(end_s + AROUND_S))

    return router


async def _clip(service: Service, request: Request, name: str, start: str, end: str) -> Response:
    recorder = service.camera(name).feed.recorder
    if recorder is None:
        raise NoMediaError(f"camera {name}: expected a recorded camera; set cameras.{name}.record", setting="cameras.record")
    clip = await service.clips.open(Asked(name, start, end), recorder, continues=_continues(request.headers))
    cut = clip.cached
    start_ms, end_ms = math.floor(cut.start_s * 1000), math.ceil(cut.end_s * 1000)  # outwards: what is said holds what is in it
    headers = {"X-Clip-Start": f"{start_ms / 1000:.3f}", "X-Clip-End": f"{end_ms / 1000:.3f}"}
    return OpenFileResponse(clip, media_type="video/mp4", headers=headers, write_timeout_s=service.clips.write_timeout_s)


def _continues(headers: Headers) -> bool:
    """Whether a client goes on with what it began: a player does so with every jump, and holds the file for one and the same."""
    return "if-range" in headers or ("range" in headers and not headers["range"].replace(" ", "").startswith("bytes=0-"))


def _picture(request: Request, jpeg: bytes) -> Response:
    """A picture, or nothing where the client has it."""
    etag = f'"{hashlib.blake2b(jpeg, digest_size=ETAG_BYTES).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if has_tag(request.headers.get("if-none-match"), etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(jpeg, media_type="image/jpeg", headers=headers)

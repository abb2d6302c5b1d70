"""The HTTP routes of watches.

In: the service. Out: a router: list, make or change, remove.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Response
from fastapi.routing import APIRoute

from stream.refusals import refusals
from stream.serve.wire import WatchStatus
from stream.watch.settings import WatchName, WatchSettings

if TYPE_CHECKING:
    from stream.serve.service import Service

Name = Annotated[WatchName, Path(description="small letters, digits, - and _")]


def watch_routes(service: Service, route_class: type[APIRoute]) -> APIRouter:
    """`route_class` reads bodies."""
    router = APIRouter(route_class=route_class)

    @router.get("/v1/watches")
    async def watches() -> list[WatchStatus]:
        return service.watches.all()

    @router.get("/v1/cameras/{camera}/watches", responses=refusals(404))
    async def watches_of(camera: str) -> list[WatchStatus]:
        return service.watches.all(service.camera(camera).name)

    @router.put("/v1/cameras/{camera}/watches/{name}", responses=refusals(404, 413, 415, 422))
    async def put(camera: str, name: Name, body: WatchSettings) -> WatchStatus:
        watched = service.camera(camera).name
        return await asyncio.to_thread(service.put_watch, watched, name, body)

    @router.delete("/v1/cameras/{camera}/watches/{name}", status_code=204, responses=refusals(404))
    async def remove(camera: str, name: str) -> Response:
        watched = service.camera(camera).name
        await asyncio.to_thread(service.remove_watch, watched, name)
        return Response(status_code=204)

    return router

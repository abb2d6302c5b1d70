"""The journal over HTTP: pages, and a stream that follows it.

In: what a client wants to see. Out: entries as JSON, or as server-sent events, to as many as there are places for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from stream.camera.errors import RETRY_AFTER_S
from stream.errors import JournalError
from stream.journal import Query
from stream.journal.entry import position_of
from stream.journal.journal import LARGEST_PAGE
from stream.serve.delivery import Delivery
from stream.serve.errors import FollowersError, UnreadableError
from stream.serve.followers import Followers
from stream.serve.places import Places
from stream.serve.refusals import refusal
from stream.serve.wire import JournalPage, journal_entry

LAST_POSITION = 1 << 61
"""Far behind what any clock makes, and still an integer to a database."""
LONGEST_NAME = 128
FARTHEST_S = 1e12
"""Seconds since the epoch that still make a position."""

Kind = Literal["boundary", "watch", "question", "answer", "dropped"]


class FollowRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    camera: str | None = Field(default=None, max_length=LONGEST_NAME)
    kind: Kind | None = None
    after: int | None = Field(default=None, ge=0, le=LAST_POSITION, description="go on behind this position")

    def query(self) -> Query:
        return Query(camera=self.camera, kind=self.kind)


class EventsRequest(FollowRequest):
    id: str | None = Field(default=None, max_length=LONGEST_NAME)
    since: float | None = Field(default=None, ge=0, le=FARTHEST_S, description="UTC epoch seconds")
    until: float | None = Field(default=None, ge=0, le=FARTHEST_S, description="UTC epoch seconds")
    limit: int = Field(default=100, ge=1, le=LARGEST_PAGE)
    order: Literal["oldest", "newest"] = Field(default="oldest", description="which end a page begins at")

    def query(self) -> Query:
        return Query(
            camera=self.camera,
            kind=self.kind,
            id=self.id,
            since=None if self.since is None else position_of(self.since),
            until=None if self.until is None else position_of(self.until),
            after=self.after,
            limit=self.limit,
            newest_first=self.order == "newest",
        )


async def events_page(delivery: Delivery, wanted: EventsRequest) -> JournalPage:
    """Raises `UnreadableError`."""
    try:
        page = await asyncio.to_thread(delivery.writer.journal.page, wanted.query())
    except JournalError as error:
        raise UnreadableError(str(error), expected="a readable journal", retry_after_s=RETRY_AFTER_S) from error
    return JournalPage(entries=[journal_entry(entry) for entry in page.entries], next=page.next)


class EventStream(StreamingResponse):
    """Follows the journal from now on, or from behind a position, where there is a place for one more."""

    def __init__(
        self, followers: Followers, places: Places, refused: Counter[str], wanted: FollowRequest, position: int | None
    ) -> None:
        super().__init__(
            followers.follow(wanted.query(), position), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
        )
        self._places, self._refused = places, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["client"][0] if scope.get("client") else ""
        if not self._places.take(address):
            error = _too_many(self._places)
            self._refused[error.code] += 1
            await refusal(error)(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._places.give_back(address)


def _too_many(places: Places) -> FollowersError:
    return FollowersError(
        f"expected at most {places.number} followers, {places.per_address} of one address, and so many are here; come back later, "
        "or raise server.max_followers or server.max_share_per_address",
        expected=f"at most {places.number} followers, {places.per_address} of one address",
        setting="server.max_followers",
        retry_after_s=RETRY_AFTER_S,
    )

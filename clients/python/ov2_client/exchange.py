"""What both clients share: where things are in the service, and what its answers mean. Nothing here sends or waits.

In: names, httpx responses, server-sent events. Out: paths, and the types of wire.py; or an error of errors.py.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from ov2_client.errors import ConnectionFailedError, ProtocolError, RefusedError, refused
from ov2_client.wire import Answer, JournalEntry, Token, read, read_answer

DEFAULT_SERVER = "http://127.0.0.1:8710"
TIMEOUT = httpx.Timeout(10.0, read=120.0)
"""An answer may wait for the questions before it."""
CAMERAS = "/v1/cameras"
STATUS = "/v1/status"
EVENTS = "/v1/events"
EVENT_STREAM = "/v1/events/stream"


def headers_of(token: str | None) -> dict[str, str] | None:
    return {"Authorization": f"Bearer {token}"} if token else None


def camera_path(camera: str, *more: str) -> str:
    """Of one camera: `ask`, `timeline`, `canvases.png`."""
    return "/".join((CAMERAS, *(quote(name, safe="") for name in (camera, *more))))


def watches_path(camera: str | None) -> str:
    """Of one camera, or of all."""
    return "/v1/watches" if camera is None else camera_path(camera, "watches")


def watch_path(camera: str, name: str) -> str:
    return camera_path(camera, "watches", name)


def given(wanted: dict[str, Any]) -> dict[str, Any]:
    """Without what was left open."""
    return {name: value for name, value in wanted.items() if value is not None}


def is_refusal(response: httpx.Response) -> bool:
    return response.status_code >= httpx.codes.BAD_REQUEST


def refusal(response: httpx.Response) -> RefusedError:
    """The error that a refusal, read to its end, holds."""
    return refused(response.status_code, response.content, response.headers.get("Retry-After"))


def parsed(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise ProtocolError(f"{response.request.url.path}: expected JSON, got something else") from None


def answer_part(event: tuple[str, Any] | None) -> Token | Answer | None:
    """A server-sent event as a part of an answer; None for what this client does not know. Raises `RefusedError`."""
    match event:
        case ("token", data):
            return read(Token, data)
        case ("answer", data):
            return read_answer(data)
        case ("error", data):
            raise refused(httpx.codes.SERVICE_UNAVAILABLE, data)
    return None


def journal_entry(event: tuple[str, Any] | None) -> JournalEntry | None:
    """A server-sent event as an entry of the journal; None for any other."""
    match event:
        case ("entry", data):
            return read(JournalEntry, data)
    return None


def failed(url: httpx.URL, error: httpx.HTTPError) -> ConnectionFailedError:
    return ConnectionFailedError(
        f"{url.scheme}://{url.host}:{url.port or ''}: expected a running service, got {type(error).__name__}"
    )

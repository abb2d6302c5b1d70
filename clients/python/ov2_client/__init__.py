"""OV2 Live's client: ask a camera of a running service.

with Client("http://127.0.0.1:8710") as client:
    for part in client.ask("front", "Is anybody at the door?"):
        print(part.text, end="", flush=True)
    print(client.ask("front", "How many people?").answer().answer)
"""

from ov2_client.async_client import AsyncClient, AsyncReply
from ov2_client.client import Client, Reply
from ov2_client.errors import ClientError, ConnectionFailedError, ProtocolError, RefusedError
from ov2_client.wire import (
    Answer,
    CameraStatus,
    Evidence,
    JournalEntry,
    JournalPage,
    Timeline,
    Timings,
    Token,
    WatchStatus,
    Window,
)

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncReply",
    "CameraStatus",
    "Client",
    "ClientError",
    "ConnectionFailedError",
    "Evidence",
    "JournalEntry",
    "JournalPage",
    "ProtocolError",
    "RefusedError",
    "Reply",
    "Timeline",
    "Timings",
    "Token",
    "WatchStatus",
    "Window",
]

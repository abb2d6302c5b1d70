"""Where packets come from: files, cameras, publishers (docs/inputs.md)."""

from stream.backoff import Backoff
from stream.sources.address import parse_address, redact
from stream.sources.mailbox import Mailbox
from stream.sources.mediaclock import MediaClock
from stream.sources.options import OpenOptions
from stream.sources.policy import SourcePolicy
from stream.sources.source import Source, open_source
from stream.sources.states import CameraState, StateMachine
from stream.sources.supervisor import Supervisor

__all__ = [
    "Backoff",
    "CameraState",
    "Mailbox",
    "MediaClock",
    "OpenOptions",
    "Source",
    "SourcePolicy",
    "StateMachine",
    "Supervisor",
    "open_source",
    "parse_address",
    "redact",
]

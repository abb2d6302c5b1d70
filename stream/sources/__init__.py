"""Where packets come from: files and RTSP cameras."""

from stream.sources.address import redact
from stream.sources.mailbox import Mailbox
from stream.sources.mediaclock import MediaClock
from stream.sources.pump import PacketPump, PumpState
from stream.sources.source import Source, open_source

__all__ = ["Mailbox", "MediaClock", "PacketPump", "PumpState", "Source", "open_source", "redact"]

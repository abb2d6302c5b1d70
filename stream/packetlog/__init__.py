"""Packet logs: a camera's packets on disk, replayed bit for bit, and clips cut out of them."""

from stream.packetlog.clip import Clip, cut_clip
from stream.packetlog.entries import Recorded, Start, Steer
from stream.packetlog.log import LogRange, PacketLog
from stream.packetlog.settings import PacketLogSettings
from stream.packetlog.writer import PacketLogWriter

__all__ = [
    "Clip",
    "LogRange",
    "PacketLog",
    "PacketLogSettings",
    "PacketLogWriter",
    "Recorded",
    "Start",
    "Steer",
    "cut_clip",
]

"""Watches: sentences that are judged against the live session, and become events with a beginning and an end."""

from stream.watch.life import Sighting, WatchLife
from stream.watch.settings import WatchSettings

__all__ = ["Sighting", "WatchLife", "WatchSettings"]

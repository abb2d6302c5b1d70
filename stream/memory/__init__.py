"""Cold memory: what the cameras showed earlier, on disk, found again by time and by content."""

from stream.memory.phrases import Phrases, phrases_of
from stream.memory.store import Memory, MemorySettings
from stream.memory.stretch import Stretch, stretch_around, stretches_between
from stream.memory.summary import Summariser

__all__ = [
    "Memory",
    "MemorySettings",
    "Phrases",
    "Stretch",
    "Summariser",
    "phrases_of",
    "stretch_around",
    "stretches_between",
]

"""Errors of the generated camera world.

WorldError
├── SeedError         a seed that belongs to neither split
├── TimeError         a moment outside the script
├── CameraError       an unknown camera preset, or a file type we do not write
└── PublishError      a peer that does not take our stream
"""

from __future__ import annotations


class WorldError(Exception):
    """Root of everything this package raises on bad input."""


class SeedError(WorldError, ValueError):
    """A seed that belongs to neither split."""


class TimeError(WorldError, ValueError):
    """A moment outside the script."""


class CameraError(WorldError, ValueError):
    """An unknown camera preset, or a file type we do not write."""


class PublishError(WorldError):
    """A peer that does not take our stream."""

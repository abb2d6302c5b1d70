"""Errors of the trainer.

TrainerError
├── SeedError       a seed outside the range that a split owns
├── ConfigError     a training setting that is unknown or out of range
├── DataError       clips or a saved state that are missing or damaged
└── ProcessError    a process of a run that was killed
"""

from __future__ import annotations


class TrainerError(Exception):
    """Root of everything this package raises on bad input."""


class SeedError(TrainerError, ValueError):
    """A seed outside the range that a split owns."""


class ConfigError(TrainerError, ValueError):
    """A training setting that is unknown or out of range."""


class DataError(TrainerError):
    """Clips or a saved state that are missing or damaged."""


class ProcessError(TrainerError):
    """A process of a run that was killed."""

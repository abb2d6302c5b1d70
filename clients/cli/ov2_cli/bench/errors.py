"""Errors of the benchmarks.

BenchError       a program of the system that is missing, a service that did not come up
"""

from __future__ import annotations


class BenchError(Exception):
    """A benchmark that cannot run here; told in one line."""

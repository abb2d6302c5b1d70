"""Errors of the command line; told in one line, without a traceback.

RunError       a run of real programs that cannot go on: one is missing, did not come up or ended, or nothing comes from a camera
"""

from __future__ import annotations


class RunError(Exception):
    """The message says which program, and holds the end of its log or where that is."""

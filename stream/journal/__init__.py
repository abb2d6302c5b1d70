"""The journal: every event, question and answer, written before it is told. docs/journal.md states what it promises."""

from stream.journal.clock import SteadyClock
from stream.journal.entry import Entry
from stream.journal.journal import Cursor, Journal, Page, Query
from stream.journal.losses import Losses
from stream.journal.opening import journal_at
from stream.journal.writer import Writer, WriterSettings

__all__ = [
    "Cursor",
    "Entry",
    "Journal",
    "Losses",
    "Page",
    "Query",
    "SteadyClock",
    "Writer",
    "WriterSettings",
    "journal_at",
]

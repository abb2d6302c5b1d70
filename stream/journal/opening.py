"""Which journal an address names.

In: `redis://...`, `rediss://...`, `unix://...`, or a path. Out: the journal; nothing is opened yet.
"""

from __future__ import annotations

from pathlib import Path

from stream.errors import SettingsError
from stream.journal.journal import Journal

REDIS_SCHEMES = ("redis", "rediss", "unix")


def journal_at(url: str, *, name: str = "ov2") -> Journal:
    """`name` keeps apart the services that share one Redis. Raises `SettingsError` for another scheme."""
    scheme, separator, _ = url.partition("://")
    if separator and scheme in REDIS_SCHEMES:
        from stream.journal.redis_streams import RedisJournal

        return RedisJournal(url, name=name)
    if separator:
        raise SettingsError(f"journal.url: expected a path, redis:// or rediss://, got {scheme}://")
    from stream.journal.sqlite import SqliteJournal

    return SqliteJournal(Path(url))

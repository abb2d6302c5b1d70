"""Notifications to phones and chats by Apprise: ntfy, Pushover, Telegram, mail and a hundred more behind one kind of URL.

In: entries from the outbox. Out: one notification when an event begins, and one when a caption follows. Ends ring nobody.
"""

from __future__ import annotations

import asyncio
from typing import Any

from stream.errors import PublishError, SettingsError
from stream.journal import Entry

SEVERITIES = ("detection", "alert")
KINDS = frozenset({"boundary", "watch"})


class AppriseSink:
    """A sink (`stream.events.sink`). `kinds` of events that ring, `severity` the least. The URL holds credentials and is never shown.

    Raises `SettingsError` where Apprise is not installed or does not know the URL."""

    in_flight = 1

    def __init__(self, name: str, url: str, *, kinds: frozenset[str] = KINDS, severity: str = "alert") -> None:
        try:
            import apprise
        except ImportError:
            raise SettingsError(
                f"notify.{name}: expected Apprise, it is not installed; pip install 'ov2-live[notify]'"
            ) from None
        self.name = f"apprise-{name}"
        self._kinds = kinds
        self._least = SEVERITIES.index(severity)
        self._to = apprise.Apprise()
        if not self._to.add(url):
            scheme = url.partition("://")[0][:16]
            raise SettingsError(f"notify.{name}.url: expected an address that Apprise knows, got {scheme}://...")

    async def ready(self) -> None:
        return

    async def deliver(self, entry: Entry, *, duplicate: bool) -> None:
        """Raises `PublishError` to be tried again."""
        told = notification(entry, self._least) if entry.kind in self._kinds else None
        if told is None:
            return
        title, body = told
        if not await asyncio.to_thread(self._to.notify, title=title, body=body):
            raise PublishError(f"{self.name}: expected it to be taken, it was not")

    async def close(self) -> None:
        return


def notification(entry: Entry, least: int) -> tuple[str, str] | None:
    """(title, text) of what is worth a ring; None for the rest."""
    if entry.kind not in ("watch", "boundary"):
        return None
    after: dict[str, Any] = entry.body["after"]
    news = entry.body["type"] == "new" or (
        entry.body["type"] == "update" and after["caption"] and not entry.body["before"]["caption"]
    )
    if not news or SEVERITIES.index(after["severity"]) < least:
        return None
    text = after["caption"] or (f"{after['score']:.0%} sure" if entry.kind == "watch" else "something changed")
    return f"{after['camera']}: {after['label']}", text

"""A webhook: every event as one HTTP POST.

In: entries from the outbox. Out: a JSON body, the same as on MQTT's `events` topic, with the event's id to tell repetitions by. What the
receiver answers decides: 2xx has taken it; 408, 425, 429 and 5xx is tried again; anything else never will.
"""

from __future__ import annotations

import httpx

from stream.errors import DeliveryRefusedError, PublishError
from stream.journal import Entry
from stream.sources.address import redact

TIMEOUT_S = 10.0
AGAIN = frozenset({408, 425, 429})
"""Refusals that are about the moment (RFC 9110 15.5.9, RFC 8470, RFC 6585)."""
KINDS = frozenset({"boundary", "watch"})


class Webhook:
    """A sink (`stream.events.sink`). `kinds`: of events that are told. `headers` may hold a credential and are never shown."""

    in_flight = 1

    def __init__(self, name: str, url: str, *, kinds: frozenset[str] = KINDS, headers: dict[str, str] | None = None) -> None:
        self.name = f"webhook-{name}"
        self._url = url
        self._kinds = kinds
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, headers=headers, follow_redirects=False)

    async def ready(self) -> None:
        return

    async def deliver(self, entry: Entry, *, duplicate: bool) -> None:
        """Raises `PublishError` to be tried again, `DeliveryRefusedError` when it will never be taken."""
        if entry.kind not in self._kinds:
            return
        headers = {"Idempotency-Key": f"{entry.id}-{entry.position}", "X-OV2-Duplicate": "true" if duplicate else "false"}
        body = {**entry.body, **({"duplicate": True} if duplicate else {})}
        failed: str | None = None
        try:
            answer = await self._client.post(self._url, json=body, headers=headers)
        except httpx.HTTPError as error:
            failed = type(error).__name__
        if failed is not None:
            raise PublishError(f"{self._where}: expected an answer, got {failed}")
        if answer.is_success:
            return
        kind = PublishError if answer.status_code in AGAIN or answer.status_code >= 500 else DeliveryRefusedError
        raise kind(f"{self._where}: expected 2xx, got {answer.status_code}")

    async def close(self) -> None:
        await self._client.aclose()

    @property
    def _where(self) -> str:
        return f"{self.name} {redact(self._url)}"

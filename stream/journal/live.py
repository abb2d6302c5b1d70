"""What is true now, in Redis, for other processes: the state of every camera.

In: states by camera. Out: the hash `{name}:live`, a field of JSON per camera; it expires when nobody writes any more. Redis that is away
costs nothing but the news.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream.sources.address import redact

ANSWER_S = 2.0
log = logging.getLogger(__name__)


class LiveState:
    """`put` blocks for at most a moment. `lasts_s`: what is not written again by then is gone."""

    def __init__(self, url: str, *, name: str, lasts_s: float) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=Retry(NoBackoff(), 0), protocol=2
        )
        self._key = f"{{{name}}}:live"
        self._lasts_ms = int(1000 * lasts_s)
        self._shown = redact(url)
        self._is_away = False

    def put(self, cameras: Mapping[str, Mapping[str, Any]]) -> bool:
        """All cameras at once; those that are not among them are no more. False while Redis is away, which is told once."""
        try:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.delete(self._key)
                pipe.hset(self._key, mapping={name: json.dumps(state) for name, state in cameras.items()})
                pipe.pexpire(self._key, self._lasts_ms)
                pipe.execute()
        except redis.RedisError as error:
            if not self._is_away:
                log.warning("redis %s: live state is not told: %s", self._shown, type(error).__name__)
            self._is_away = True
            return False
        self._is_away = False
        return True

    def close(self) -> None:
        self._client.close()

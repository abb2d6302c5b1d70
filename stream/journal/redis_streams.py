"""The journal in Redis Streams: one that several machines can read, and that outlives the service's own disk.

In: entries. Out: pages. The stream `{name}:journal` holds the entries; its ids are their positions (milliseconds, then the
rest), so that time ranges are ranges of ids. Small streams of ids alone index it by camera, by kind and by both; a list per event id
leads from there. A script inside one MULTI writes entries everywhere. The name stands in braces, so a cluster keeps all on one node.

Redis may lose what it said it had written: it was killed between two fsyncs, or keeps nothing on disk. The newest entries stay in
memory here, and whatever is missing behind the last one that Redis still knows is written again.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream.errors import JournalError
from stream.journal.entry import Entry
from stream.journal.journal import Cursor, Page, Query
from stream.sources.address import redact

ANSWER_S = 2.0
"""Longest wait for Redis: a camera's event waits no longer before it goes on from memory."""
CHUNK = 500
ID_DAYS = 400
"""The list that leads from an event's id to its entries is forgotten after this."""

APPEND = """
local journal, number = KEYS[1], tonumber(ARGV[1])
for at = 3, #ARGV, 5 do
  local place, camera, kind, id, body = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  number = number + 1
  redis.call('XADD', journal, place, 'c', camera, 'k', kind, 'i', id, 'b', body, 'n', number)
  for _, index in ipairs({':camera:' .. camera, ':kind:' .. kind, ':camera:' .. camera .. ':kind:' .. kind}) do
    redis.call('XADD', journal .. index, place, '', '')
    redis.call('SADD', journal .. ':indexes', journal .. index)
  end
  redis.call('RPUSH', journal .. ':id:' .. id, place)
  redis.call('EXPIRE', journal .. ':id:' .. id, ARGV[2])
end
"""
"""Writes entries everywhere: the journal's key; how many came before, seconds that an id is remembered, then five values of each."""

Row = tuple[str, dict[str, str]]
"""An id of the stream, and the fields behind it."""

log = logging.getLogger(__name__)


class RedisJournal:
    """Connects when first used. Raises `JournalError` while Redis is away."""

    def __init__(self, url: str, *, name: str = "ov2", held: int = 10_000) -> None:
        self._client = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._script = self._client.register_script(APPEND)
        self._shown = redact(url)
        self._key = f"{{{name}}}:journal"
        self._held: deque[Entry] = deque(maxlen=held)
        self._places: dict[str, Cursor] = {}
        self.num_rewritten = 0

    @property
    def address(self) -> str:
        return self._shown

    def last(self) -> int:
        cursors = self.cursors().values()
        return max([self._newest(), *(cursor.delivered for cursor in cursors)])

    def write(self, entries: Sequence[Entry], cursors: Mapping[str, Cursor]) -> None:
        self._places |= cursors
        newest = self._newest()
        lost = self._lost(newest)
        fresh = [entry for entry in entries if entry.position > newest]
        if not lost and not fresh and not cursors:
            return
        self._asked(lambda: self._append([*lost, *fresh], self._places if lost else cursors))
        if lost:
            self.num_rewritten += len(lost)
            log.warning("journal %s: Redis had lost its newest %d entries; they are written again", self._shown, len(lost))
        self._held.extend(fresh)

    def page(self, query: Query) -> Page:
        places = self._places_of(query)
        rows = self._rows(places[: query.limit]) if query.camera or query.kind or query.id else self._range(self._key, query)
        found = tuple(_entry(place, fields) for place, fields in rows[: query.limit])
        more = len(places) > query.limit or len(rows) > query.limit
        return Page(found, found[-1].position if more and found else None)

    def count(self, after: int) -> int:
        first = self._asked(lambda: self._client.xrange(self._key, min=_id(after + 1), count=1))
        last = self._asked(lambda: self._client.xrevrange(self._key, count=1))
        return int(last[0][1]["n"]) - int(first[0][1]["n"]) + 1 if first else 0

    def cursors(self) -> dict[str, Cursor]:
        stored = self._asked(lambda: self._client.hgetall(f"{self._key}:cursors"))
        pairs = {sink: value.split() for sink, value in stored.items()}
        return {sink: Cursor(delivered=int(pair[0]), attempted=int(pair[1])) for sink, pair in pairs.items()}

    def retain(self, *, before: int, keep_after: int, max_bytes: int) -> int:
        until = min(before - 1, keep_after)
        used = self._used_bytes()
        if used > max_bytes:
            length = self._asked(lambda: self._client.xlen(self._key))
            surplus = max(1, int(length * (1 - max_bytes / used)))
            behind = self._asked(lambda: self._client.xrange(self._key, count=min(surplus, CHUNK)))
            if behind:
                until = max(until, min(_position(behind[-1][0]), keep_after))
        indexes = self._asked(lambda: self._client.smembers(f"{self._key}:indexes"))

        def trim() -> None:
            with self._client.pipeline(transaction=True) as pipe:
                for key in (self._key, *indexes):
                    pipe.xtrim(key, minid=_id(until + 1), approximate=False)
                pipe.execute()

        self._asked(trim)
        return self._used_bytes()

    def close(self) -> None:
        self._client.close()

    def _append(self, entries: Sequence[Entry], cursors: Mapping[str, Cursor]) -> None:
        values: list[str | int] = [self._number(), ID_DAYS * 86_400]
        for entry in entries:
            values += [_id(entry.position), entry.camera, entry.kind, entry.id, json.dumps(entry.body)]
        with self._client.pipeline(transaction=True) as pipe:
            if entries:
                self._script(keys=[self._key], args=values, client=pipe)
            for sink, cursor in cursors.items():
                pipe.hset(f"{self._key}:cursors", sink, f"{cursor.delivered} {cursor.attempted}")
            pipe.execute()

    def _places_of(self, query: Query) -> list[str]:
        """Ids of the entries that fit, one more than a page holds; none where the whole journal is read."""
        if query.id is not None:
            low, high = query.bounds
            places = self._asked(lambda: self._client.lrange(self._by_id(query.id or ""), 0, -1))
            places = [place for place in places if low <= _position(place) <= high]
            wanted = [place for place, fields in self._rows(places) if query.takes(_entry(place, fields))]
            return sorted(wanted, key=_position, reverse=query.newest_first)[: query.limit + 1]
        if query.camera is None and query.kind is None:
            return []
        return [place for place, _ in self._range(self._index(query.camera, query.kind), query)]

    def _range(self, key: str, query: Query) -> list[Row]:
        low, high = (_id(bound) for bound in query.bounds)
        count = query.limit + 1
        if query.newest_first:
            return list(self._asked(lambda: self._client.xrevrange(key, max=high, min=low, count=count)))
        return list(self._asked(lambda: self._client.xrange(key, min=low, max=high, count=count)))

    def _rows(self, places: Sequence[str]) -> list[Row]:
        def ask() -> list[list[Row]]:
            with self._client.pipeline(transaction=False) as pipe:
                for place in places:
                    pipe.xrange(self._key, min=place, max=place)
                return list(pipe.execute())

        return [row for rows in self._asked(ask) for row in rows] if places else []

    def _lost(self, newest: int) -> list[Entry]:
        """What was written behind the newest entry that Redis knows."""
        if not self._held or self._held[-1].position <= newest:
            return []
        return [entry for entry in self._held if entry.position > newest]

    def _newest(self) -> int:
        rows = self._asked(lambda: self._client.xrevrange(self._key, count=1))
        return _position(rows[0][0]) if rows else 0

    def _number(self) -> int:
        rows = self._asked(lambda: self._client.xrevrange(self._key, count=1))
        return int(rows[0][1]["n"]) if rows else 0

    def _used_bytes(self) -> int:
        def ask() -> int:
            keys = [self._key, *self._client.smembers(f"{self._key}:indexes")]
            return sum(self._client.memory_usage(key, samples=5) or 0 for key in keys)

        return int(self._asked(ask))

    def _index(self, camera: str | None, kind: str | None) -> str:
        parts = [f":camera:{camera}" if camera is not None else "", f":kind:{kind}" if kind is not None else ""]
        return self._key + "".join(parts)

    def _by_id(self, name: str) -> str:
        return f"{self._key}:id:{name}"

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (redis.RedisError, OSError) as error:
            raise JournalError(
                f"journal {self._shown}: expected Redis to answer, got {type(error).__name__}: {redact(str(error))}; "
                "see that it runs and has room, or set journal.url"
            ) from error


def _id(position: int) -> str:
    """The id of a stream's entry: milliseconds, then what is left of the microseconds."""
    milliseconds, rest = divmod(position, 1000)
    return f"{milliseconds}-{rest}"


def _position(place: str) -> int:
    milliseconds, rest = place.split("-")
    return int(milliseconds) * 1000 + int(rest)


def _entry(place: str, fields: Mapping[str, str]) -> Entry:
    return Entry(position=_position(place), camera=fields["c"], kind=fields["k"], id=fields["i"], body=json.loads(fields["b"]))

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
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream.errors import JournalError
from stream.journal.damage import Damage
from stream.journal.entry import Entry
from stream.journal.journal import Cursor, Page, Query
from stream.journal.rows import cursor_sum, entry_sum, read_cursor, read_entry
from stream.sources.address import redact

ANSWER_S = 2.0
"""Longest wait for Redis: a camera's event waits no longer before it goes on from memory."""
CHUNK = 500
ID_DAYS = 400
"""The list that leads from an event's id to its entries is forgotten after this."""

APPEND = """
local journal, number = KEYS[1], tonumber(ARGV[1])
for at = 3, #ARGV, 6 do
  local place, camera, kind, id, body, sum = unpack(ARGV, at, at + 5)
  number = number + 1
  redis.call('XADD', journal, place, 'c', camera, 'k', kind, 'i', id, 'b', body, 's', sum, 'n', number)
  for _, index in ipairs({':camera:' .. camera, ':kind:' .. kind, ':camera:' .. camera .. ':kind:' .. kind}) do
    redis.call('XADD', journal .. index, place, '', '')
    redis.call('SADD', journal .. ':indexes', journal .. index)
  end
  redis.call('RPUSH', journal .. ':id:' .. id, place)
  redis.call('EXPIRE', journal .. ':id:' .. id, ARGV[2])
end
"""
"""Writes entries everywhere: the journal's key; how many came before, seconds that an id is remembered, then six values of each."""

Row = tuple[str, dict[str, str]]
"""An id of the stream, and the fields behind it."""

_ID = re.compile(r"\d{1,16}-\d{1,3}")
log = logging.getLogger(__name__)


class RedisJournal:
    """Connects when first used. Raises `JournalError` while Redis is away."""

    def __init__(self, url: str, *, name: str = "ov2", held: int = 10_000) -> None:
        self.damage = Damage()
        self._client = redis.Redis.from_url(
            url,
            decode_responses=True,
            encoding_errors="replace",  # what is no text is a damaged entry, and its checksum tells
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

    @property
    def num_aside(self) -> int:
        return 0

    def last(self) -> int:
        cursors = self.cursors().values()
        return max([self._newest(), *(max(cursor.delivered, cursor.attempted) for cursor in cursors)])

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
        low, high = query.bounds
        found: list[Entry] = []
        while True:
            wanted = query.limit + 1 - len(found)
            places, rows = self._found(query, low, high, wanted)
            found += [entry for place, fields in rows if (entry := self._whole(place, fields)) is not None]
            if len(places) < wanted or len(found) > query.limit:
                break
            last = _position(places[-1])
            low, high = (low, last - 1) if query.newest_first else (last + 1, high)
        return Page(tuple(found[: query.limit]), found[query.limit - 1].position if len(found) > query.limit else None)

    def count(self, after: int) -> int:
        first = self._asked(lambda: self._client.xrange(self._key, min=_id(after + 1), count=1))
        if not first:
            return 0
        number = _number_of(first[0][1])
        if number is None:
            return len(self._asked(lambda: self._client.xrange(self._key, min=_id(after + 1))))
        return self._number() - number + 1

    def cursors(self) -> dict[str, Cursor]:
        """Of a damaged one nothing is known: everything that is there may be told again, marked."""
        stored = self._asked(lambda: self._client.hgetall(f"{self._key}:cursors"))
        return {sink: self._cursor(sink, value) for sink, value in stored.items()}

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
            texts = (entry.camera, entry.kind, entry.id, json.dumps(entry.body))
            values += [_id(entry.position), *texts, entry_sum(entry.position, *(text.encode() for text in texts))]
        with self._client.pipeline(transaction=True) as pipe:
            if entries:
                self._script(keys=[self._key], args=values, client=pipe)
            for sink, cursor in cursors.items():
                total = cursor_sum(sink.encode(), cursor.delivered, cursor.attempted)
                pipe.hset(f"{self._key}:cursors", sink, f"{cursor.delivered} {cursor.attempted} {total}")
            pipe.execute()

    def _found(self, query: Query, low: int, high: int, count: int) -> tuple[list[str], list[Row]]:
        """Ids of at most `count` entries that fit, and what there is of them: an index may know entries that are gone."""
        if query.id is not None:
            rows = self._of_event(query, low, high)[:count]
            return [place for place, _ in rows], rows
        if query.camera is None and query.kind is None:
            rows = self._range(self._key, low, high, count, query.newest_first)
            return [place for place, _ in rows], rows
        index = self._index(query.camera, query.kind)
        places = [place for place, _ in self._range(index, low, high, count, query.newest_first)]
        return places, self._rows(places)

    def _of_event(self, query: Query, low: int, high: int) -> list[Row]:
        places = self._asked(lambda: self._client.lrange(self._by_id(query.id or ""), 0, -1))
        rows = self._rows([place for place in places if _ID.fullmatch(place) and low <= _position(place) <= high])
        wanted = {field: value for field, value in (("c", query.camera), ("k", query.kind)) if value is not None}
        fitting = [row for row in rows if wanted.items() <= row[1].items()]
        return sorted(fitting, key=lambda row: _position(row[0]), reverse=query.newest_first)

    def _whole(self, place: str, fields: Mapping[str, str]) -> Entry | None:
        """The entry; None for a damaged one, which is counted."""
        texts = [fields[name].encode() for name in ("c", "k", "i", "b") if name in fields]
        total = _whole_number(fields.get("s", ""))
        is_row = len(texts) == 4 and ("s" not in fields or total is not None)
        entry = read_entry(_position(place), texts[0], texts[1], texts[2], texts[3], total) if is_row else None
        if entry is None:
            self.damage.row(self._shown, place)
        return entry

    def _cursor(self, sink: str, value: str) -> Cursor:
        numbers = [_whole_number(part) for part in value.split()]
        cursor = read_cursor(sink.encode(), *numbers) if len(numbers) in (2, 3) and None not in numbers else None
        if cursor is None:
            self.damage.row(self._shown, sink)
            return Cursor(delivered=0, attempted=self._newest())
        return cursor

    def _range(self, key: str, low: int, high: int, count: int, newest_first: bool) -> list[Row]:
        first, last = _id(low), _id(high)
        if newest_first:
            return list(self._asked(lambda: self._client.xrevrange(key, max=last, min=first, count=count)))
        return list(self._asked(lambda: self._client.xrange(key, min=first, max=last, count=count)))

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
        """Of the newest entry; where that one has none, of as many entries as there are."""
        rows = self._asked(lambda: self._client.xrevrange(self._key, count=1))
        number = _number_of(rows[0][1]) if rows else 0
        return number if number is not None else int(self._asked(lambda: self._client.xlen(self._key)))

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


def _number_of(fields: Mapping[str, str]) -> int | None:
    return _whole_number(fields.get("n", ""))


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

"""What one strike of an attack works with: the target, its dice, and a place for what it finds.

In: cases. Out: replies; each is judged and counted. Where the service has ended it is started again, and that is told with the case.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ov2_bench.attack.judgement import Judge, fair
from ov2_bench.attack.ledger import Ledger
from ov2_bench.attack.target import Target
from ov2_bench.attack.wire import Reply, Wire, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HONEST = "honest questions"
"""Their name in the ledger."""
WORKERS = 16


class Scene:
    """One strike. `folder`: scratch. `holds`: how long what is held open is held, as a share of the usual. `close` it."""

    def __init__(
        self,
        target: Target,
        ledger: Ledger,
        attack: str,
        rng: random.Random,
        folder: Path,
        *,
        hostile_port: int = 0,
        holds: float = 1.0,
    ) -> None:
        self.target, self.rng, self.folder, self.hostile_port = target, rng, folder, hostile_port
        self.ledger, self.attack, self.holds = ledger, attack, holds
        self._idle: list[Wire] = []

    async def case(
        self,
        method: str,
        path: str,
        *,
        what: str = "",
        judge: Judge = fair,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        with_token: bool = True,
        head_only: bool = False,
    ) -> Reply:
        """One request, judged and counted. JSON unless `headers` say otherwise."""
        given = {**self.target.headers(with_token=with_token), **({"Content-Type": "application/json"} if body else {})}
        data = request_bytes(method, path, {**given, **(headers or {})}, body)
        async with self.wire() as wire:
            reply = await wire.ask(data, head_only=head_only, bodyless=method == "HEAD")
        await self.judged(judge(reply), what or f"{method} {path[:120]} {body[:200]!r}", is_silent=not reply.status)
        return reply

    async def judged(self, problem: str, what: str, *, is_silent: bool = True) -> None:
        """Count one case. `is_silent`: no answer came, so see whether the service is still there."""
        if problem and is_silent:
            problem += await self.target.revive()
        self.ledger.count(self.attack, f"{what}: {problem}" if problem else "")

    async def honest(self, after: str) -> None:
        """An honest question is answered."""
        problem = await self.target.honest()
        self.ledger.count(HONEST, f"after {after[:160]}: {problem}" if problem else "")

    async def fan(self, cases: Iterable[Callable[[], Awaitable[object]]], workers: int = WORKERS) -> None:
        """All of them, some at once. They are drawn in order, so that the dice fall as they would one by one."""
        drawn: Iterator[Callable[[], Awaitable[object]]] = iter(cases)

        async def work() -> None:
            for case in drawn:
                await case()

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        wire = self._idle.pop() if self._idle else Wire(self.target.host, self.target.port)
        try:
            yield wire
        except BaseException:
            await wire.close()
            raise
        self._idle.append(wire)

    async def close(self) -> None:
        for wire in self._idle:
            await wire.close()
        self._idle.clear()

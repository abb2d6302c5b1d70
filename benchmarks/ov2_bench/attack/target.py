"""The service under attack: started, started again where an attack has ended it, and asked honest questions.

In: its configuration. Out: its addresses, its credentials, whether it still answers. Its temporary folder is a private one, so that what is
left there can be counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ov2_bench.attack.wire import RETRY_AFTER, Wire, request_bytes
from ov2_bench.testbed.ports import HOST, free_port
from ov2_bench.testbed.service import Service

CAMERA, WATCH = "front", "always"
SURE = {"sentence": "something is there", "threshold": 1e-12, "release": 1e-13, "confirm": 1, "cool_down_s": 0.0}
"""A watch that holds whatever is seen: it begins when it is switched on, and ends when it is switched off."""
HONEST_S = 30.0
"""How long an honest client tries: it comes again when it is told to."""
DYING_S = 15.0
"""How long a service that refuses connections may take to be gone."""
LAST_LINES = 3


class Target:
    """`await start()`, ..., `await stop()`. `num_restarts`: how often it had to be started again."""

    def __init__(self, config: Mapping[str, Any], folder: Path, *, token: str = "") -> None:
        self.config, self.folder, self.token = config, folder, token
        self.temporary = folder / "tmp"
        self.host, self.port = HOST, free_port()
        self.num_restarts = 0
        self.mqtt: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.temporary.mkdir(exist_ok=True)
        self.service = Service(config, folder, port=self.port, environment={"TMPDIR": str(self.temporary.resolve())})
        self._reviving = asyncio.Lock()

    @property
    def data(self) -> Path:
        return Path(self.config["data"])

    @property
    def pid(self) -> int:
        return self.service.pid

    def headers(self, *, with_token: bool = True) -> dict[str, str]:
        bearer = {"Authorization": f"Bearer {self.token}"} if with_token and self.token else {}
        return {"Host": f"{self.host}:{self.port}", **bearer}

    async def start(self) -> None:
        await self.service.start()
        self.mqtt = dict(self.service.told()["mqtt"])

    async def stop(self) -> None:
        await self.service.end()

    async def revive(self) -> str:
        """Start it again if it has ended, and say how it had; empty where it lives."""
        async with self._reviving:
            if not await self._has_ended():
                return ""
            status, said = self.service.own_status, self._last_words()
            await self.service.end()
            await self.start()
            self.num_restarts += 1
            return f"; the service had ended with status {status}: {said}"

    async def get(self, path: str) -> Any:
        """A JSON answer, or None."""
        wire = Wire(self.host, self.port)
        try:
            reply = await wire.ask(request_bytes("GET", path, self.headers()))
        finally:
            await wire.close()
        return reply.json() if reply.status == 200 else None

    async def honest(self) -> str:
        """Ask a question as a client would; what is wrong with the answer, empty where it is one."""
        body = b'{"question": "Is there a car in view?", "max_tokens": 4, "stream": false}'
        headers = {**self.headers(), "Content-Type": "application/json"}
        until_s, said = time.monotonic() + HONEST_S, ""
        while time.monotonic() < until_s:
            wire = Wire(self.host, self.port, answer_s=HONEST_S)
            reply = await wire.ask(request_bytes("POST", f"/v1/cameras/{CAMERA}/ask", headers, body))
            await wire.close()
            if reply.status == 200:
                answer = reply.json()
                return (
                    "" if isinstance(answer, dict) and "answer" in answer else f"an answer that is none: {reply.body[:200]!r}"
                )
            said = reply.problem or f"{reply.status}: {reply.body[:200]!r}"
            if reply.status not in (0, 503):
                return said
            if not reply.status and (ended := await self.revive()):
                return said + ended
            await asyncio.sleep(min(2.0, float(reply.headers.get(RETRY_AFTER, 0.2))))
        return f"no answer within {HONEST_S:.0f} s; {said}"

    async def keep_watch(self, *, enabled: bool = True) -> None:
        """Our watch as it began, or switched off: each switch is an event."""
        import json

        body = json.dumps({**SURE, "enabled": enabled}).encode()
        headers = {**self.headers(), "Content-Type": "application/json"}
        wire = Wire(self.host, self.port)
        await wire.ask(request_bytes("PUT", f"/v1/cameras/{CAMERA}/watches/{WATCH}", headers, body))
        await wire.close()

    async def _has_ended(self) -> bool:
        """A service that takes no connection is on its way out, or busy: wait until either shows."""
        until_s = time.monotonic() + DYING_S
        while self.service.own_status is None:
            wire = Wire(self.host, self.port, answer_s=2.0)
            reply = await wire.ask(request_bytes("GET", "/healthz", self.headers()))
            await wire.close()
            if reply.status == 200 or time.monotonic() > until_s:
                return False
            await asyncio.sleep(0.1)
        return True

    def _last_words(self) -> str:
        lines = self.service.log.read_text(errors="replace").splitlines()
        return " / ".join(line.strip() for line in lines[-LAST_LINES:])[-400:]

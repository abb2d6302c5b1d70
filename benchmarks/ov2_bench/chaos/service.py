"""The service under test, asked over HTTP as it runs.

In: a configuration, a folder. Out: its answers; what got none is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ov2_bench.errors import RunError
from ov2_bench.testbed.service import Service

if TYPE_CHECKING:
    import httpx

ANSWER_S = 10.0


class PolledService(Service):
    """`async with PolledService(config, folder) as service`. `failures`: requests that got no answer, or one of 500 and up."""

    failures = 0
    _client: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        import httpx

        await super().__aenter__()
        self._client = httpx.AsyncClient(base_url=self.told()["http"], timeout=ANSWER_S)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()
        await super().__aexit__(*error)

    async def get(self, path: str) -> Any:
        """A JSON answer, or None (then it is counted). Raises `RunError` when the service has ended."""
        import httpx

        try:
            answer = await self._client.get(path)
            if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                return answer.json()
        except httpx.HTTPError:
            if (status := self.own_status) is not None:
                raise RunError(f"the service ended with status {status}; see {self.log}") from None
        self.failures += 1
        return None

"""`ov2 serve` in a process of its own.

In: a configuration, a folder. Out: a running service that answers, and its addresses. In the folder: ov2.yaml, ready.json, service.log.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ov2_bench.testbed.ports import HOST
from ov2_bench.testbed.program import Program


class Service(Program):
    """`async with Service(config, folder) as service`: it answers. It is up once it has said so: its port is open long before.

    `port`: of HTTP; 0 finds a free one at every start. `environment`: more of it."""

    def __init__(
        self,
        config: Mapping[str, Any],
        folder: Path,
        *,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        disk_may_fill: bool = False,
    ) -> None:
        self._config, self._file, self._ready = config, folder / "ov2.yaml", folder / "ready.json"
        flags = ("--config", str(self._file), "--host", HOST, "--port", str(port), "--ready-file", str(self._ready))
        super().__init__(
            "service",
            [sys.executable, "-m", "ov2_cli", "serve", *flags],
            folder / "service.log",
            self._ready.exists,
            prepare=self._lay_out,
            environment=environment,
            disk_may_fill=disk_may_fill,
        )

    def told(self) -> dict[str, Any]:
        """What it said when it was ready: its addresses."""
        return dict(json.loads(self._ready.read_text()))

    def _lay_out(self) -> None:
        import yaml

        self._ready.unlink(missing_ok=True)
        self._file.write_text(yaml.safe_dump(dict(self._config), sort_keys=False))

"""schemathesis, which reads the service's OpenAPI and draws requests from it: nothing is answered with an error of ours.

In: a scene, examples of each operation. Out: a case in its ledger for the run with the token, one for the run without; skipped where it is not
installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from importlib.util import find_spec

from ov2_bench.attack.scene import Scene

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"
SETTINGS = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", 503]\n'
"""503 with Retry-After is an answer of ours: not ready yet, or full."""
COVERED = 5
"""From so many examples of an operation on, every edge of its schema is tried as well: hundreds of cases more."""
RUN_S = 300.0
TESTED = re.compile(r"(\d+) generated")
HEADING, FINDING = re.compile(r"_+ [A-Z]+ /\S* _+"), re.compile(r"- [A-Z]\w+ \w+")
"""Of its report: an operation, and what was found wrong with it."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
MISSING = "expected schemathesis, found none; pip install schemathesis"


async def strike(scene: Scene, count: int) -> None:
    record = scene.ledger.of(scene.attack)
    if find_spec("schemathesis") is None:
        record.skipped = MISSING
        return
    for with_token in (True, False) if scene.target.token else (True,):
        num_cases, problem = await _run(scene, count, with_token=with_token)
        record.tried += num_cases
        await scene.judged(problem, f"schemathesis {'with' if with_token else 'without'} a token", is_silent=bool(problem))
    await scene.target.keep_watch()
    await scene.honest("schemathesis")


async def _run(scene: Scene, count: int, *, with_token: bool) -> tuple[int, str]:
    """How many cases it made, and what it found wrong."""
    target = scene.target
    described = scene.folder / "openapi.json"
    described.write_text(json.dumps(await target.get("/openapi.json")))
    (scene.folder / "schemathesis.toml").write_text(SETTINGS, encoding="utf-8")
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", described.name, "--url", f"http://{target.host}:{target.port}", "--checks", CHECKS,
        "--max-examples", str(count), "--seed", str(scene.rng.getrandbits(31)), "--no-color", "--exclude-path", "/v1/events/stream",
        "--suppress-health-check", "all", "--phases", "examples,coverage,fuzzing" if count >= COVERED else "fuzzing", "--request-timeout", "30",
    ]  # fmt: skip
    if with_token and target.token:
        command += ["--header", f"Authorization: Bearer {target.token}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=scene.folder,
        env={**os.environ, "COLUMNS": "160"},
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), RUN_S)
    except TimeoutError:
        return 0, f"not over within {RUN_S:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    said = COLOURS.sub("", out.decode("utf-8", "replace"))
    made = TESTED.search(said)
    return int(made[1]) if made else 0, "" if process.returncode == 0 else _told(said, scene)


def _told(said: str, scene: Scene) -> str:
    """The operations and what was wrong with them, in short; all of it goes to a file."""
    (scene.folder / "schemathesis.txt").write_text(said, encoding="utf-8")
    lines = [line.strip(" _-") for line in said.splitlines() if HEADING.match(line) or FINDING.match(line)]
    return "; ".join(dict.fromkeys(lines)) or said[-300:]

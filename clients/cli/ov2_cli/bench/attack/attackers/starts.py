"""Configurations that are none, and a second service on the same data: refused in a line, quickly, without a traceback.

In: a scene, a number of cases. Out: cases in its ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ov2_cli.bench.attack.scene import Scene

START_S = 60.0
"""A start that is neither refused nor over by then hangs. It includes what a busy machine needs to begin a process."""
MOST_LINES, LONGEST = 8, 3000
GENTLY = ("nice", "-n", "5")
"""The attacker's own processes are not to be what holds the service up."""
CAMERAS = "cameras: {front: {url: film.mp4}}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """`tells`: words of which one has to be in the refusal."""

    name: str
    text: str
    tells: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(9 * [f'*{old}'])}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
BROKEN = (
    Start(name="duplicate keys", text="cameras:\n  front: {url: a.mp4}\n  front: {url: b.mp4}\n", tells=("front",)),
    Start(name="a section twice", text=CAMERAS + "server: {port: 0}\nserver: {port: 1}\n", tells=("server",)),
    Start(name="an alias cycle", text="cameras: &a\n  front: *a\n"),
    Start(name="an alias cycle in a list", text=CAMERAS + "server: {tokens: &t [*t]}\n"),
    Start(name="aliases of aliases", text=ALIASES + CAMERAS),
    Start(name="200,000 brackets", text=200_000 * "["),
    Start(name="200,000 open maps", text=200_000 * "{a: "),
    Start(name="a number of 5,000 digits", text=CAMERAS + f"server: {{port: {5000 * '9'}}}\n"),
    Start(name="a token of spaces", text=CAMERAS + 'server: {tokens: ["   "]}\n', tells=("tokens",)),
    Start(name="100,000,000 threads", text=CAMERAS + "model: {threads: 100000000}\n", tells=("threads",)),
    Start(name="an infinite interval", text=CAMERAS + "watches: {every_s: .inf}\n", tells=("every_s",)),
    Start(name="an interval that is none", text=CAMERAS + "mqtt: {state_every_s: .nan}\n", tells=("state_every_s",)),
    Start(
        name="a folder outside", text="cameras: {front: {url: film.mp4, record: {folder: ../../../etc}}}\n", tells=("record", "folder")
    ),
    Start(name="a tag of Python", text="cameras: !!python/object/apply:os.system [id]\n"),
    Start(name="no text", text="\x00\x01\x02"),
    Start(name="a list", text="- a\n- b\n"),
    Start(name="a key that is a map", text="? {a: b}\n: c\n"),
    Start(name="an unknown key", text=CAMERAS + "sever: {port: 0}\n", tells=("server",)),
    Start(name="a bad environment", text=CAMERAS, tells=("OV2_SERVER_PORT",), environment={"OV2_SERVER_PORT": "[1, 2"}),
    Start(name="brackets in the environment", text=CAMERAS, tells=("OV2_", "server", "cameras"),
    environment={"OV2_SERVER_TOKENS": 50_000 * "["}),
    Start(name="a map in the environment", text=CAMERAS, tells=("OV2_", "server"), environment={"OV2_SERVER": "{port: {"}),
    Start(name="a placeholder of nothing", text='cameras: {front: {url: "rtsp://{NOBODY_SET_THIS}@h/"}}\n', tells=("NOBODY_SET_THIS",)),
)  # fmt: skip


async def strike(scene: Scene, count: int) -> None:
    """A second service first; then those of the list, as many as wanted, drawn anew each time."""
    await _second(scene)
    for start in scene.rng.sample(BROKEN, min(count, len(BROKEN))):
        folder = scene.folder / "starts"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "ov2.yaml"
        file.write_text(start.text, encoding="utf-8")
        await scene.judged(await refusal(file, start.environment, start.tells), f"start with {start.name}", is_silent=False)
    await scene.honest("starts beside it")


async def _second(scene: Scene) -> None:
    """The very configuration of the service that runs, its data folder with it; its own port is free."""
    file = scene.target.folder / "ov2.yaml"
    await scene.judged(await refusal(file, {}, ("data",)), "a second service on the same data", is_silent=True)


async def refusal(file: Path, environment: Mapping[str, str], tells: tuple[str, ...]) -> str:
    """Start a service; what is wrong with how it refuses."""
    ready = file.with_name("second-ready.json")
    ready.unlink(missing_ok=True)
    command = [
        *GENTLY,
        sys.executable,
        "-m",
        "ov2_cli",
        "serve",
        "--config",
        str(file),
        "--port",
        "0",
        "--ready-file",
        str(ready),
    ]
    began_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **environment}
    )
    ending = asyncio.create_task(process.communicate())
    try:
        while not ending.done() and not ready.exists() and time.monotonic() - began_s < START_S:
            await asyncio.wait([ending], timeout=0.1)
        if not ending.done():
            return "it started" if ready.exists() else f"neither started nor refused within {START_S:.0f} s"
        return _judge(process.returncode or 0, (await ending)[0].decode("utf-8", "replace"), tells)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.gather(ending, return_exceptions=True)


def _judge(status: int, said: str, tells: tuple[str, ...]) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    if "Traceback" in said:
        return f"a traceback: {lines[-1][:200] if lines else ''}"
    if status <= 0:
        return f"expected an exit status above 0, got {status}"
    if not lines or len(lines) > MOST_LINES or len(said) > LONGEST:
        return f"expected a line, got {len(lines)} lines of {len(said)} characters"
    if tells and not any(word in said for word in tells):
        return f"expected a word of {' or '.join(tells)}, got {lines[-1][:200]}"
    return ""

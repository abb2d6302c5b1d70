"""The demo from start to end: processes up, questions asked at their moments, alerts collected, report written.

In: the flags of `ov2 demo`. Out: an exit code: 0 when everything ran, 1 when a part of it died.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ov2_bench.errors import RunError
from ov2_bench.page import keep_drawn
from ov2_bench.testbed.first_picture import first_picture_s
from ov2_bench.testbed.program import Program
from rich.console import Console

from ov2_cli.demo.processes import CAMERA, Addresses, camera, service
from ov2_cli.demo.screen import alert_line, draw, save_picture, summary
from ov2_cli.demo.script import plan_questions
from ov2_cli.demo.state import AskedQuestion, State

if TYPE_CHECKING:
    from ov2_client import AsyncClient

    from trainer.world import Question

SETTLE_S = 0.4
"""A question is asked this long after its moment: what was filmed by then has arrived, and the truth holds for longer."""
FIRST_FRAME_TIMEOUT_S = 45.0
REFRESH_S = 0.25


async def run(*, seconds: int, seed: int, report: Path, model: str, out: Path) -> int:
    """Run the demo; the report is written whatever happens."""
    out.mkdir(parents=True, exist_ok=True)
    state = State(seed=seed, seconds=seconds)
    console = Console()
    try:
        async with service(model, out) as addresses, camera(seed, seconds, addresses.rtsp, out) as film:
            await _watch(state, addresses, film, console, out)
    except RunError as error:
        state.errors.append(str(error))
    report.write_text(json.dumps(state.report(), indent=2) + "\n")
    save_picture(state, out / "screen.svg")
    summary(state, console)
    console.print(f"report: {report}")
    return 1 if state.errors else 0


async def _watch(state: State, addresses: Addresses, film: Program, console: Console, out: Path) -> None:
    """Everything that happens while the camera films."""
    from ov2_client import AsyncClient

    from trainer.world import World

    world = World(state.seed, duration_s=float(state.seconds))
    plan = plan_questions(world, state.seconds, state.seed)
    async with AsyncClient(addresses.http, token=addresses.token) as client:
        screen = asyncio.create_task(_show(state, console))
        listening = asyncio.create_task(_listen(state, addresses, console))
        following = asyncio.create_task(_follow(state, client, out))
        try:
            state.phase = "waiting for the camera"
            zero_s = await first_picture_s(client, CAMERA, FIRST_FRAME_TIMEOUT_S)
            state.phase = "watching"
            state.began_s = time.monotonic() - (time.time() - zero_s)
            for question in plan:
                await _until(zero_s + question.at_s + SETTLE_S, state, zero_s)
                await _ask(state, client, question, console)
            await _until(zero_s + state.seconds, state, zero_s)
            if status := await film.wait():
                raise RunError(f"the camera ended with status {status}; see {film.log}")
            await asyncio.sleep(1.0)
            state.phase = "done"
        finally:
            for task in (following, listening, screen):
                task.cancel()
            results = await asyncio.gather(following, listening, screen, return_exceptions=True)
            state.errors.extend(str(result) for result in results if isinstance(result, Exception))


async def _until(wall_s: float, state: State, zero_s: float) -> None:
    """Wait for a moment, keeping the clock on the screen."""
    while (left := wall_s - time.time()) > 0:
        state.media_s = max(0.0, time.time() - zero_s)
        await asyncio.sleep(min(left, 0.1))


async def _ask(state: State, client: AsyncClient, question: Question, console: Console) -> None:
    """Ask one question, and compare the answer with the truth on the session's own clock."""
    from dataclasses import replace

    from ov2_client import Answer, ClientError

    from trainer.world import check

    state.asking = question.text
    try:
        async for part in client.ask(CAMERA, question.text, max_tokens=32):
            if isinstance(part, Answer):
                if question.type == "when" and part.window.zero_s:
                    seconds = int(question.answer.split()[0]) - int(part.window.zero_s)
                    question = replace(question, answer=f"{seconds} seconds")
                state.questions.append(
                    AskedQuestion(
                        at_s=question.at_s,
                        type=question.type,
                        question=question.text,
                        expected=question.answer,
                        answer=part.answer,
                        correct=check(question, part.answer),
                        first_token_ms=part.timings.first_token_ms,
                        frame_age_ms=part.frame_age_ms,
                    )
                )
    except ClientError as error:
        state.errors.append(f"{question.at_s:.1f} s, {question.text}: {error}")
    state.asking = ""
    if not console.is_terminal and state.questions:
        last = state.questions[-1]
        console.print(
            f"{last.at_s:6.2f} s  {'✓' if last.correct else '✗'} {last.question}  {last.answer}  (truth: {last.expected})"
        )


async def _listen(state: State, addresses: Addresses, console: Console) -> None:
    """A separate MQTT client: prints alerts as they come."""
    import aiomqtt

    async with aiomqtt.Client(
        addresses.mqtt_host,
        addresses.mqtt_port,
        username=addresses.mqtt_username,
        password=addresses.mqtt_password,
        identifier=f"demo-{time.time_ns()}",
    ) as client:
        await client.subscribe("ov2/events", qos=1)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            alert = {
                "topic": str(message.topic),
                "received_s": round(time.monotonic() - state.began_s, 3),
                "event": json.loads(message.payload),
            }
            state.alerts.append(alert)
            if not console.is_terminal:
                console.print(alert_line(alert))


async def _follow(state: State, client: AsyncClient, out: Path) -> None:
    """Costs, cuts, figures and the latest canvases, a few times a second."""
    picture = out / "canvases.png"
    while True:
        timeline = await client.timeline(CAMERA)
        state.bins = list(timeline.bins)
        if timeline.groups and timeline.num_groups != state.num_groups:
            picture.write_bytes(await client.canvases(CAMERA))
            state.picture = str(picture)
        state.groups = list(timeline.groups)
        state.num_groups = timeline.num_groups
        state.tokens_per_s = timeline.tokens_per_s
        state.token_rate = timeline.token_rate
        state.frame_age_ms = timeline.frame_age_ms
        await asyncio.sleep(REFRESH_S)


async def _show(state: State, console: Console) -> None:
    """Redraw the page in a terminal; elsewhere the other tasks print lines."""
    if not console.is_terminal:
        await asyncio.Event().wait()
    await keep_drawn(lambda: draw(state, console.width), console, REFRESH_S)

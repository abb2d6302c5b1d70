"""Questions with numbers and texts at the edges, over HTTP and over MQTT: each is answered or refused, and the next honest one is answered.

In: a scene, a number of cases. Out: cases in its ledger.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator

from ov2_bench.attack.attackers.mqtt import client_of
from ov2_bench.attack.cases import NUMBERS, TEXTS, any_bytes, any_field, any_json, any_text, json_object
from ov2_bench.attack.judgement import Judge, answered, fair, refused
from ov2_bench.attack.mqtt_wire import publish_packet
from ov2_bench.attack.scene import Scene
from ov2_bench.attack.target import CAMERA

ASK = f"/v1/cameras/{CAMERA}/ask"
ANSWER_S = 20.0
REAL_SHARE = 0.1
"""Of the fuzzed ones: questions that the model has to answer."""
FIELDS = ("question", "max_tokens", "temperature", "top_p", "seed", "since", "until", "recall", "stream", "x")
DEADLY = (
    {"seed": "18446744073709551616"}, {"seed": "9223372036854775808"}, {"seed": "-1"}, {"temperature": "1e-39"}, {"temperature": "5e-324"},
    {"temperature": "1", "top_p": "1e-46"}, {"temperature": "1e-39", "top_p": "1e-46"}, {"temperature": "10", "top_p": "5e-324", "seed": "0"},
    {"seed": "9223372036854775807", "temperature": "1"}, {"temperature": "NaN"}, {"top_p": "NaN"}, {"temperature": "Infinity"},
    {"max_tokens": "0"}, {"max_tokens": "1" + 30 * "0"}, {"since": '"9e999"'}, {"since": "NaN"}, {"until": "-1e308"}, {"since": "Infinity"},
    {"since": '"0001-01-01T00:00:00+23:59"'}, {"until": '"9999-12-31T23:59:59-23:59"'}, {"recall": '"everything"'}, {"since": '"-1e300h"'},
)  # fmt: skip
"""Fields, as JSON texts, that were the end of the service once, and their neighbours."""
TAKEN = ("1e-39", "5e-324", "1e-46")
"""Small numbers that are in range: a question with one of these is answered."""


async def strike(scene: Scene, count: int) -> None:
    """The deadly ones one by one, with an honest question behind each."""
    chosen = list(DEADLY)
    scene.rng.shuffle(chosen)
    for fields in chosen[:count]:
        judge: Judge = fair
        if "seed" in fields and fields["seed"] != "9223372036854775807" and fields["seed"] != "0":
            judge = refused(422)
        elif any(value in TAKEN for value in fields.values()):
            judge = answered
        body = _question(fields)
        await scene.case("POST", ASK, body=body, judge=judge)
        await scene.honest(f"{fields}")
        await _over_mqtt(scene, fields)
        await scene.honest(f"{fields} over MQTT")


async def fuzz(scene: Scene, count: int) -> None:
    """Questions of random bytes, and questions of which one field is any JSON."""
    await scene.fan(_cases(scene, count))
    await scene.honest("fuzzed questions")


def _cases(scene: Scene, count: int) -> Iterator[Callable[[], Awaitable[object]]]:
    for _ in range(count):
        body = _any_question(scene)
        yield lambda body=body: scene.case("POST", ASK, body=body)  # type: ignore[misc]


def _any_question(scene: Scene) -> bytes:
    rng = scene.rng
    if rng.random() < REAL_SHARE:
        text = rng.choice((any_text(rng), any_bytes(rng).decode("latin-1"), rng.choice(TEXTS)))
        return _question(
            {"question": json.dumps(text), "seed": str(rng.getrandbits(63)), "temperature": rng.choice(NUMBERS[:8])}
        )
    if rng.random() < 0.4:
        return any_bytes(rng) or b"{"
    fields = {any_field(rng, FIELDS): any_json(rng) for _ in range(rng.randint(1, 3))}
    return _question(fields)


def _question(fields: dict[str, str]) -> bytes:
    return json_object({"question": '"Is there a car?"', "max_tokens": "1", "stream": "false", **fields})


async def _over_mqtt(scene: Scene, fields: dict[str, str]) -> None:
    """The same by MQTT: an answer, or a refusal, on the question's own topic."""
    prefix, name = scene.target.mqtt.get("prefix", "ov2"), f"attack-{scene.rng.getrandbits(40)}"
    question = {
        "id": json.dumps(name),
        "camera": json.dumps(CAMERA),
        "question": '"Is there a car?"',
        "max_tokens": "1",
        **fields,
    }
    problem = "no answer"
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        async with client_of(scene, f"{prefix}/answer/{name}") as client:
            await client.send(publish_packet(f"{prefix}/ask".encode(), json_object(question), qos=1))
            await client.wait_for(f"{prefix}/answer/{name}", ANSWER_S)
            problem = ""
    await scene.judged(problem, f"{fields} over MQTT")

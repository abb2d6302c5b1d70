"""`ov2 bench endless`: ten thousand groups of one camera.

In: a checkpoint. Out: time per append, time to the first token, resident memory, and answers, of the groups near the end against those near
the beginning. A world's groups come again and again on one running clock, so the content is the same; the answers are asked at the
same place of the scene, right after a renewal, and have to be the same words.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from ov2_bench.machine import resident_bytes
from ov2_bench.scene import in_a_loop, scripted_groups

if TYPE_CHECKING:
    from ov2.session_settings import SessionSettings

SCENE_S = 300.0
SEED = 900_042
QUESTIONS = (
    "What happened last?",
    "Is there a car?",
    "Is there a dog?",
    "Is there a person?",
    "What colour is the car?",
    "How many people are there?",
)
ASK_EVERY = 10
"""Groups from one timed question to the next."""


def bench_endless(num_groups: int, model: str, tell: Any, session: SessionSettings | None = None) -> dict[str, Any]:
    """`num_groups` at full speed, with the default session unless told otherwise. The last tenth is compared with a tenth near the
    beginning: the first twentieth warms up. `tell` gets the share that is done."""
    from ov2.engine import Engine, EngineSettings
    from ov2.model import OV2Model
    from ov2.session_settings import SessionSettings

    loaded = OV2Model.from_pretrained(model)
    groups = scripted_groups(SEED, SCENE_S, loaded)
    early = range(num_groups // 20, 3 * num_groups // 20)
    late = range(num_groups - num_groups // 10, num_groups)
    append_s: list[float] = []
    first_token_s: dict[int, float] = {}
    resident: dict[int, int] = {}
    answers: dict[int, list[str]] = {}
    with (
        Engine(loaded, EngineSettings(session=session or SessionSettings(), max_streams=1)) as engine,
        engine.open("endless") as stream,
    ):
        for index, group in enumerate(in_a_loop(groups)):
            if index == num_groups:
                break
            began = time.perf_counter()
            stream.append(group).result()
            append_s.append(time.perf_counter() - began)
            if index % ASK_EVERY == 0:
                reply = stream.ask(QUESTIONS[index // ASK_EVERY % len(QUESTIONS)], max_tokens=1)
                list(reply)
                first_token_s[index] = reply.first_token_s or 0.0
                resident[index] = resident_bytes()
                tell(index / num_groups)
            if (index + 1) % len(groups) == len(groups) // 2:
                stream.renew()
                answers[index] = ["".join(stream.ask(question, max_tokens=24)) for question in QUESTIONS]
        stats = engine.stats()

    def middle(values: dict[int, float] | dict[int, int], where: range) -> float:
        return statistics.median(value for index, value in values.items() if index in where)

    timed = dict(enumerate(append_s))
    first, last = (
        [answer for index, answer in answers.items() if index in where] for where in (early, range(late.start, num_groups))
    )
    return {
        "append_growth": middle(timed, late) / middle(timed, early) - 1,
        "first_token_growth": middle(first_token_s, late) / middle(first_token_s, early) - 1,
        "memory_growth": middle(resident, late) / middle(resident, early) - 1,
        "answers_equal": bool(first and last) and all(answer == first[0] for answer in [*first, *last]),
        "append_ms_early": 1e3 * middle(timed, early),
        "append_ms_late": 1e3 * middle(timed, late),
        "first_token_ms_early": 1e3 * middle(first_token_s, early),
        "first_token_ms_late": 1e3 * middle(first_token_s, late),
        "resident_mib_early": middle(resident, early) / 2**20,
        "resident_mib_late": middle(resident, late) / 2**20,
        "compared_answers": len(QUESTIONS) * len([*first, *last]),
        "renewals": stats.renewals,
        "groups": stats.groups,
    }

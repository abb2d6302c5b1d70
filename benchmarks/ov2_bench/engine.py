"""`ov2 bench engine`: what the session engine does in a second, against reading the whole window again.

In: a layout, a window. Out: appends per second, question to first token, tokens per second, many questions against one, streams that a
device carries; and, with `hf`, the same question answered by transformers' own Qwen3 with the same weights, which reads the whole
window each time. One process, one run, medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

from ov2_bench.scene import FOR_EVER_S, SIZES, load, made_groups

if TYPE_CHECKING:
    from ov2.canvas import CanvasGroup
    from ov2.engine import Engine, Stream
    from ov2.model import OV2Model
    from ov2.text import TextTokenizer

QUESTION = "Is there a red car in the yard?"
AT_ONCE = 32
DECODED = 64
ANSWER = 8
"""Tokens of each answer where many are compared with one."""
LOAD_GROUPS = 22
"""Groups per stream in the load test: enough for renewals to come as often as they do."""


def bench_engine(
    layout: str, window: int, token_rate: float, streams: int, repeats: int, kv_dtype: str, compare_hf: bool
) -> dict[str, Any]:
    """Fill one stream's window, then measure on it; at last put load on many."""
    import torch

    from ov2.engine import Engine, EngineSettings
    from ov2.session_settings import SessionSettings

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model, text = load(layout, device, dtype)
    positions = max(model.max_positions, window + window // 2) if layout == "8b" else model.max_positions
    session = SessionSettings(
        window_tokens=window,
        branch_tokens=min(1024, positions - window),
        window_s=FOR_EVER_S,
        max_timestamp_s=FOR_EVER_S,
        max_positions=positions,
    )
    settings = EngineSettings(session=session, max_streams=streams + 1, max_waiting_groups=LOAD_GROUPS, kv_dtype=kv_dtype)  # type: ignore[arg-type]
    groups = made_groups(SIZES.get(layout, SIZES["ov2-nano"]))
    with Engine(model, settings, text=text) as engine:
        stream = engine.open("measured")
        _fill(stream, groups, window)
        result = {
            "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
            "layout": layout,
            "window_tokens": stream.num_tokens,
            **_appends(stream, groups, repeats),
            **_questions(stream, repeats),
            "decode_tokens_per_s": _decode(stream, repeats),
            **_many(stream, repeats),
        }
        if compare_hf:
            result["hf"] = _against_hf(model, text, stream, groups, result, repeats)
        stream.close()
        result |= _load(engine, streams, window, token_rate, layout)
        result["shed"] = engine.stats().shed
    return result


def _fill(stream: Stream, groups: Iterator[CanvasGroup], window: int) -> None:
    before = -1
    while stream.num_tokens > before and stream.num_tokens < window:
        before = stream.num_tokens
        stream.append(next(groups)).result()


def _times(work: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each run, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


def _appends(stream: Stream, groups: Iterator[CanvasGroup], repeats: int) -> dict[str, float]:
    times = _times(lambda: stream.append(next(groups)).result(), repeats)
    return {"append_per_s": 1 / statistics.median(times), "append_ms": 1e3 * statistics.median(times)}


def _questions(stream: Stream, repeats: int) -> dict[str, Any]:
    """One token answers: the time to the first is all."""
    times = sorted(_times(lambda: list(stream.ask(QUESTION, max_tokens=1)), 2 * repeats))
    return {"first_token_ms": {f"p{p}": 1e3 * times[min(len(times) - 1, len(times) * p // 100)] for p in (50, 95, 99)}}


def _decode(stream: Stream, repeats: int) -> float:
    """Tokens per second of one answer, after its first."""
    rates = []
    for _ in range(max(3, repeats // 4)):
        reply = stream.ask(QUESTION, max_tokens=DECODED, min_tokens=DECODED)
        began = time.perf_counter()
        list(reply)
        assert reply.first_token_s is not None, "expected an answer"
        rates.append((reply.num_tokens - 1) / (time.perf_counter() - began - reply.first_token_s))
    return statistics.median(rates)


def _many(stream: Stream, repeats: int) -> dict[str, float]:
    """As many questions at once, and one, with answers of the same length; in turn."""

    def ask(count: int) -> float:
        began = time.perf_counter()
        replies = [stream.ask(f"{index}. {QUESTION}", max_tokens=ANSWER, min_tokens=ANSWER) for index in range(count)]
        for reply in replies:
            list(reply)
        return time.perf_counter() - began

    ask(1), ask(AT_ONCE)
    pairs = [(ask(1), ask(AT_ONCE)) for _ in range(max(3, repeats // 2))]
    statements = [f"Is there a car number {index}?" for index in range(AT_ONCE)]
    judged = _times(lambda: stream.judge(statements), max(3, repeats // 2))
    return {
        "one_question_ms": 1e3 * statistics.median(one for one, _ in pairs),
        "32_questions_ms": 1e3 * statistics.median(many for _, many in pairs),
        "32_over_one": statistics.median(many / one for one, many in pairs),
        "32_statements_ms": 1e3 * statistics.median(judged),
    }


def _load(engine: Engine, num_streams: int, window: int, token_rate: float, layout: str) -> dict[str, float]:
    """Groups of many streams as fast as they go: tokens per second of all, over the tokens per second of one camera."""
    opened = [engine.open(f"stream {index}") for index in range(num_streams)]
    lines = [made_groups(SIZES.get(layout, SIZES["ov2-nano"]), seed) for seed in range(num_streams)]
    for stream, groups in zip(opened, lines, strict=True):
        _fill(stream, groups, window)
    renewals = engine.stats().renewals
    began = time.perf_counter()
    futures = [stream.append(next(groups)) for _ in range(LOAD_GROUPS) for stream, groups in zip(opened, lines, strict=True)]
    asked = [stream.ask(QUESTION, max_tokens=ANSWER) for stream in opened]
    wait(futures)
    spent_s = time.perf_counter() - began
    for reply in asked:
        list(reply)
    size = SIZES.get(layout, SIZES["ov2-nano"])
    tokens = size.canvases * (size.height // 28) * (size.width // 28) * len(futures)
    for stream in opened:
        stream.close()
    return {
        "vision_tokens_per_s": tokens / spent_s,
        "streams_at_token_rate": tokens / spent_s / token_rate,
        "renewals_under_load": engine.stats().renewals - renewals,
    }


def _against_hf(
    model: OV2Model,
    text: TextTokenizer,
    stream: Stream,
    groups: Iterator[CanvasGroup],
    ours: dict[str, Any],
    repeats: int,
) -> dict[str, float]:
    """transformers' Qwen3 with the same weights and its own attention: it reads window and question from the start."""
    import torch
    from transformers.models.qwen3.modeling_qwen3 import Qwen3Model

    from ov2.encode import encode
    from ov2.language import qwen3_config
    from ov2.prompt import question_tokens

    config = qwen3_config(model.config.text)
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        theirs = Qwen3Model(config)
    theirs.load_state_dict(model.model.language_model.state_dict(), assign=True)
    theirs.rotary_emb = model.model.language_model.rotary_emb
    theirs.train(False)
    tail = question_tokens(text, QUESTION)
    ids = torch.randint(0, 256, (1, ours["window_tokens"] + len(tail)), device=model.device)
    group = next(groups)

    @torch.inference_mode()
    def first_token() -> None:
        hidden = theirs(input_ids=ids, use_cache=True).last_hidden_state[0, -1]
        int(model.head(hidden).argmax())

    @torch.inference_mode()
    def window_again() -> None:
        encode(model, [group])
        theirs(input_ids=ids[:, : ours["window_tokens"]], use_cache=True)

    pairs = []
    first_token(), window_again()
    for _ in range(max(3, repeats // 4)):
        ask_s = _times(lambda: list(stream.ask(QUESTION, max_tokens=1)), 3)
        append_s = _times(lambda: stream.append(next(groups)).result(), 3)
        pairs.append(
            (_times(first_token, 1)[0], statistics.median(ask_s), _times(window_again, 1)[0], statistics.median(append_s))
        )
    return {
        "first_token_ms": 1e3 * statistics.median(theirs_s for theirs_s, _, _, _ in pairs),
        "first_token_ratio": statistics.median(theirs_s / ours_s for theirs_s, ours_s, _, _ in pairs),
        "append_ms": 1e3 * statistics.median(again_s for _, _, again_s, _ in pairs),
        "append_ratio": statistics.median(again_s / append_s for _, _, again_s, append_s in pairs),
    }

"""`ov2 bench tokenize`: what tokenization costs beyond decoding.

In: a file. Out: the ratio of whole tokenization (demux, decode, evidence, groups, canvases) to plain PyAV decoding of the same
file (demux, decode), both single-threaded, on one core, in turn; medians of several pairs. And the ratio of the whole path of a camera, with
boundary alerts, to plain decoding.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ov2_bench.camera_path import PathRun, run_path
from ov2_bench.machine import one_core

if TYPE_CHECKING:
    from stream.tokenizer.settings import TokenizerSettings


def bench_tokenize(
    path: Path, repeats: int, settings: TokenizerSettings | None = None, *, eager: bool = False
) -> dict[str, float | int | str]:
    """Time `repeats` rounds after one warm-up round. `eager`: decode every picture as it comes."""
    with one_core():
        rounds = [
            (decode_time(path), _tokenize(path, settings, eager), _path(path, settings, eager)) for _ in range(repeats + 1)
        ]
    pairs = rounds[1:]
    decode_s = [decode[0] for decode, _, _ in pairs]
    tokenize_s = [whole[0] for _, whole, _ in pairs]
    ratios = [whole / plain for plain, whole in zip(decode_s, tokenize_s, strict=True)]
    frames = pairs[0][0][1]
    return {
        "ratio_to_decode": statistics.median(ratios),
        "with_alerts": statistics.median(with_alerts[0] / decode[0] for decode, _, with_alerts in pairs),
        "decoded_share": pairs[0][2][1].decoded_share,
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "decode_s": statistics.median(decode_s),
        "tokenize_s": statistics.median(tokenize_s),
        "frames": frames,
        "frames_per_s": frames / statistics.median(tokenize_s),
        "groups": pairs[0][1][1],
        "repeats": repeats,
    }


def decode_time(path: Path) -> tuple[float, int]:
    """Seconds and frames of plain decoding."""
    import av

    began = time.perf_counter()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        stream.codec_context.thread_type = "NONE"
        frames = sum(1 for _ in container.decode(stream))
    return time.perf_counter() - began, frames


def _path(path: Path, settings: TokenizerSettings | None, eager: bool) -> tuple[float, PathRun]:
    """Seconds of the whole path of a camera, and what came of it."""
    from stream.sources import open_source

    began = time.perf_counter()
    with open_source(str(path)) as packets:
        run = run_path(packets, settings, eager=eager)
    return time.perf_counter() - began, run


def _tokenize(path: Path, settings: TokenizerSettings | None, eager: bool) -> tuple[float, int]:
    """Seconds and groups of whole tokenization."""
    from stream.codec.codec import CATCH_UP_S
    from stream.sources import open_source
    from stream.tokenizer.tokenizer import Tokenizer

    began = time.perf_counter()
    tokenizer = Tokenizer(settings, catch_up_s=0.0 if eager else CATCH_UP_S)
    groups = 0
    with open_source(str(path)) as packets:
        for packet in packets:
            groups += len(tokenizer.push(packet))
    groups += len(tokenizer.flush())
    return time.perf_counter() - began, groups

"""Rules about the pictures themselves: what the encoder is set to.

In: `Facts`. Out: `RULES`.
"""

from __future__ import annotations

import math

from stream.codec.codecs import codec_of
from stream.doctor.advice import GOOD_GOP_S, Advice
from stream.doctor.facts import Facts

LONG_GOP_S, VERY_LONG_GOP_S = 4.1, 6.1
"""Four and six seconds, and a picture more: four seconds are what many cameras come with."""
FAIR_QP = 32.0
"""Quantiser to aim at where a picture is starved: the coarsest that counts as fair."""
GENEROUS_QP, GENEROUS_KBPS = 20.0, 1500.0
SLOW_FPS, FAST_FPS = 4.0, 31.0
FPS_LIE = 0.15
LONG_REORDER_S = 0.15


def _codec(facts: Facts) -> Advice | None:
    if facts.video is None or codec_of(facts.video.codec).has_vectors:
        return None
    return Advice(
        code="codec_reduced",
        severity="warn",
        measured=f"{facts.video.name}: evidence is reduced to the difference of pictures",
        setting="set the sub-stream to H.264",
    )


def _interlaced(facts: Facts) -> Advice | None:
    if facts.video is None or not facts.video.interlaced:
        return None
    return Advice(
        code="interlaced",
        severity="warn",
        measured="pictures are interlaced: bits per macroblock are not read, and moving edges are combed",
        setting="set the camera or its encoder to progressive (25p or 30p, not 50i or 60i)",
    )


def _evidence(facts: Facts) -> Advice | None:
    """Any other reason for less than full evidence."""
    signals = facts.signals
    if signals is None or signals.level != "reduced" or _codec(facts) or _interlaced(facts) or _intra_only(facts):
        return None
    missing = "; ".join(f"{part}: {why}" for part, why in signals.missing.items())
    return Advice(
        code="evidence_reduced",
        severity="warn",
        measured=f"not all evidence can be read ({missing})",
        setting="use profile Main or High, 8 bits, 4:2:0",
    )


def _intra_only(facts: Facts) -> Advice | None:
    video = facts.video
    if video is None or not codec_of(video.codec).has_vectors or set(video.types) != {"I"} or sum(video.types.values()) < 3:
        return None
    return Advice(
        code="intra_only",
        severity="warn",
        measured="every picture is coded on its own: nothing in the stream tells what moved",
        setting=f"set the I-frame interval to {GOOD_GOP_S:g} s",
    )


def _keys(facts: Facts) -> Advice | None:
    keys = facts.keys
    if keys is None or facts.transport.watched_s == 0:
        return None
    mend = f"set the I-frame interval to {GOOD_GOP_S:g} s"
    if keys.pattern == "none":
        return Advice(
            code="no_key",
            severity="warn",
            measured=f"no key frame in {keys.longest_s:.0f} s: a new viewer sees nothing until one comes",
            setting=mend,
        )
    if keys.pattern == "refresh" or keys.longest_s <= LONG_GOP_S:
        return None
    if keys.pattern == "one":
        return Advice(
            code="long_gop",
            severity="warn",
            measured=f"no second key frame in {keys.longest_s:.0f} s: questions right after a reconnect wait at least that long",
            setting=f"{mend}; switch off 'smart' coding (H.264+, Zipstream)",
        )
    every = (
        f"key frame every {keys.longest_s:.0f} s"
        if keys.pattern == "regular"
        else f"up to {keys.longest_s:.0f} s without a key frame"
    )
    return Advice(
        code="long_gop",
        severity="warn" if keys.longest_s > VERY_LONG_GOP_S else "note",
        measured=f"{every}: questions right after a reconnect wait that long",
        setting=mend,
    )


def _smart(facts: Facts) -> Advice | None:
    keys = facts.keys
    if keys is None or keys.pattern != "irregular" or keys.longest_s <= LONG_GOP_S:
        return None
    return Advice(
        code="smart_codec",
        severity="note",
        measured="key frames come at changing distances: 'smart' coding, or a scene cut detector",
        setting="switch off smart coding (H.264+, Smart Codec, Zipstream) for this stream",
    )


def _refresh(facts: Facts) -> Advice | None:
    if facts.keys is None or facts.keys.pattern != "refresh":
        return None
    return Advice(
        code="intra_refresh",
        severity="note",
        measured="no key frames: the picture is renewed column by column, and a new viewer's first second is patchy",
        setting="harmless for bits; for clean starts switch intra refresh off",
    )


def _reorder(facts: Facts) -> Advice | None:
    video = facts.video
    if video is None or not video.reorder:
        return None
    wait = f"pictures wait {1000 * video.reorder_s:.0f} ms for later ones (B-frames)"
    late = video.reorder_s > LONG_REORDER_S and facts.transport.is_live
    return Advice(
        code="b_frames",
        severity="warn" if late else "note",
        measured=f"{wait}, which every alert is late by" if facts.transport.is_live else wait,
        setting="set B-frames to 0, or the profile to Baseline, for a camera that is watched live",
    )


def _starved(facts: Facts) -> Advice | None:
    bits = facts.bits
    if bits is None or bits.mean_qp is None or bits.quality not in ("poor", "starved"):
        return None
    need = _round_kbps(bits.mean_kbps * 2 ** ((bits.mean_qp - FAIR_QP) / 6))
    held = {"constant bit rate": "bit rate is constant", "capped": "bit rate is capped"}.get(bits.control.mode)
    is_starved = bits.quality == "starved"
    state = "starved" if is_starved else "coarse"
    what = f"{held} and the picture is {state}" if held else f"the picture is {state}"
    rate = f"raise it to about {need} kbit/s or use a variable rate" if held else f"raise the quality, to about {need} kbit/s"
    if is_starved:
        return Advice(code="starved", severity="warn", measured=f"{what} (mean QP {bits.mean_qp:.0f})", setting=rate)
    return Advice(code="coarse", severity="note", measured=f"{what} (mean QP {bits.mean_qp:.0f})", setting=rate)


def _generous(facts: Facts) -> Advice | None:
    bits = facts.bits
    if bits is None or bits.mean_qp is None or bits.mean_qp > GENEROUS_QP or bits.mean_kbps < GENEROUS_KBPS:
        return None
    need = _round_kbps(bits.mean_kbps * 2 ** ((bits.mean_qp - 26) / 6))
    return Advice(
        code="generous",
        severity="note",
        measured=f"{bits.mean_kbps:.0f} kbit/s code the noise too (mean QP {bits.mean_qp:.0f}), and noise looks like evidence",
        setting=f"about {need} kbit/s would do",
    )


def _frame_rate(facts: Facts) -> Advice | None:
    pace = facts.pace
    if pace is None or not pace.fps:
        return None
    if pace.fps < SLOW_FPS:
        return Advice(
            code="slow_frames",
            severity="note",
            measured=f"{pace.fps:.1f} pictures/s: quick events fall between two of them",
            setting="set the frame rate to 8 to 15 pictures/s",
        )
    if pace.fps > FAST_FPS:
        return Advice(
            code="fast_frames",
            severity="note",
            measured=f"{pace.fps:.0f} pictures/s: all are decoded, 4 a second can be shown to the model",
            setting="10 to 15 pictures/s are enough",
        )
    return None


def _rate_lie(facts: Facts) -> Advice | None:
    pace = facts.pace
    if pace is None or not pace.claimed_fps or not pace.fps or abs(pace.claimed_fps / pace.fps - 1) <= FPS_LIE:
        return None
    return Advice(
        code="frame_rate_claim",
        severity="note",
        measured=f"the {pace.claimed_by} claims {pace.claimed_fps:.4g} pictures/s, {pace.fps:.4g} come; times are used, claims are not",
    )


def _parameter_sets(facts: Facts) -> Advice | None:
    video, keys = facts.video, facts.keys
    if video is None or keys is None or video.parameter_sets not in ("once", "header") or not facts.transport.is_live:
        return None
    where = "only once" if video.parameter_sets == "once" else "only in the session description"
    return Advice(
        code="parameter_sets_once",
        severity="note",
        measured=f"parameter sets came {where}: after a change of settings the stream cannot be read until a reconnect",
        setting="send SPS and PPS with every key frame",
    )


def _resized(facts: Facts) -> Advice | None:
    if facts.video is None or facts.video.num_sizes < 2:
        return None
    return Advice(
        code="resized",
        severity="note",
        measured=f"pictures came in {facts.video.num_sizes} sizes; groups are cut where the size changes",
        setting="switch off automatic resolution",
    )


def _plan(facts: Facts) -> Advice | None:
    if facts.load is None or not facts.load.limits:
        return None
    limit = facts.load.limits[0]
    return Advice(code="token_rate_limited", severity="note", measured=limit.measured, setting=limit.remedy)


def _round_kbps(kbps: float) -> int:
    """Two leading digits, as a menu would offer them."""
    step = 10 ** max(0, math.floor(math.log10(max(kbps, 1.0))) - 1)
    return int(math.ceil(kbps / step) * step)


RULES = (
    _codec,
    _interlaced,
    _evidence,
    _intra_only,
    _keys,
    _smart,
    _refresh,
    _reorder,
    _starved,
    _generous,
    _frame_rate,
    _rate_lie,
    _parameter_sets,
    _resized,
    _plan,
)
"""(facts) -> advice, or None where there is no such problem."""

"""The rows of the doctor's page: each noun of the facts in one line.

In: `Facts`. Out: text; empty where there is nothing to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.doctor.facts import Facts
    from stream.doctor.load import Load


def kbps(rate: float) -> str:
    return f"{rate / 1000:.1f} Mbit/s" if rate >= 1000 else f"{rate:.0f} kbit/s"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 1 else f"{1000 * value:.0f} ms"


def _transport(facts: Facts) -> str:
    transport = facts.transport
    first = f", first picture after {_seconds(transport.first_picture_s)}" if transport.first_picture_s is not None else ""
    return f"{transport.name}, open after {_seconds(transport.opened_s)}{first}"


def _video(facts: Facts) -> str:
    video = facts.video
    if video is None:
        return ""
    parts = [f"{video.name} {video.profile or ''}".strip() + (f" level {video.level}" if video.level else "")]
    size = f"{video.width}x{video.height}"
    if video.is_cropped:
        size += f" (cropped from {video.coded_width}x{video.coded_height})"
    parts.append(size)
    if video.interlaced is not None:
        parts.append("interlaced" if video.interlaced else "progressive")
    if (video.bit_depth, video.chroma) not in ((8, "4:2:0"), (None, None)):
        parts.append(f"{video.bit_depth} bits {video.chroma}")
    parts += [video.entropy] if video.entropy else []
    return ", ".join([*parts, "1 slice" if video.slices == 1 else f"{video.slices} slices"])


def _pictures(facts: Facts) -> str:
    pace = facts.pace
    if pace is None:
        return ""
    arrival = f", {pace.arrival_fps:.4g} by arrival" if pace.arrival_fps is not None else ""
    claim = f"; the {pace.claimed_by} says {pace.claimed_fps:.4g}" if pace.claimed_fps is not None else "; no rate is claimed"
    even = "" if pace.steady_share > 0.9 else f"; {100 * (1 - pace.steady_share):.0f} % of the steps are uneven"
    return f"{pace.fps:.4g} a second by their times{arrival}{claim}{even}"


def _arrival(facts: Facts) -> str:
    pace = facts.pace
    if pace is None or pace.jitter_ms is None or pace.longest_gap_s is None:
        return ""
    return f"jitter {pace.jitter_ms:.0f} ms (95 % come closer to their place), longest gap {_seconds(pace.longest_gap_s)}"


def _keys(facts: Facts) -> str:
    keys, video = facts.keys, facts.video
    if keys is None or video is None:
        return ""
    every = f"every {keys.interval_s:.1f} s ({keys.interval_pictures} pictures)" if keys.interval_s is not None else ""
    told = {
        "regular": every,
        "irregular": f"{every} mostly, up to {keys.longest_s:.1f} s",
        "one": f"one, then none for {keys.longest_s:.1f} s",
        "refresh": f"intra refresh, {keys.num_refresh_points} points to start at",
        "none": f"none in {keys.longest_s:.1f} s",
    }[keys.pattern]
    size = f", {keys.size_ratio:.0f} times the bytes of others" if keys.size_ratio is not None else ""
    sets = {
        "every key": "; parameter sets with each",
        "sometimes": "; parameter sets now and then",
        "once": "; parameter sets once",
        "header": "; parameter sets in the header",
        "unknown": "",
    }[video.parameter_sets]
    return told + size + sets


def _order(facts: Facts) -> str:
    video = facts.video
    if video is None or not video.types:
        return ""
    types = ", ".join(f"{count} {kind}" for kind, count in video.types.items())
    if not video.reorder:
        return f"as sent, no B-frames waited for ({types})"
    return f"B-frames: up to {video.reorder} wait for a later picture, {_seconds(video.reorder_s)} ({types})"


def _bits(facts: Facts) -> str:
    bits = facts.bits
    if bits is None:
        return ""
    control = bits.control
    spread = ""
    if control.qp_spread is not None and control.bytes_spread is not None:
        spread = f" (QP ±{control.qp_spread:.1f}, bytes ±{100 * control.bytes_spread:.0f} %)"
    mode = "rate control unknown" if control.mode == "unknown" else control.mode
    return f"{kbps(bits.mean_kbps)}, peak {kbps(bits.peak_kbps)}; {mode}{spread}"


def _quality(facts: Facts) -> str:
    bits = facts.bits
    if bits is None or bits.mean_qp is None:
        return ""
    return f"{bits.quality}, mean QP {bits.mean_qp:.0f} of 51"


def _clock(facts: Facts) -> str:
    clock = facts.clock
    if clock is None:
        return "of a file: nobody tells the wall time"
    offset_s = clock.reports.offset_s
    if offset_s is None:
        told = "no sender reports"
    else:
        told = f"sender reports, {_seconds(abs(offset_s))} {'ahead of' if offset_s > 0 else 'behind'} ours"
    drift = ""
    if clock.drift_ms_per_min is not None:
        drift = (
            f", {clock.drift_ms_per_min:+.0f} ms/min (±{clock.drift_error_ms_per_min:.0f})" if clock.drifts else ", no drift"
        )
    troubles = {"jumps": clock.jumps, "doubled": clock.duplicates, "untimed": clock.untimed, "steps back": clock.steps_back}
    wrong = ", ".join(f"{count} {name}" for name, count in troubles.items() if count)
    return f"{told}{drift}; {wrong or 'no jumps, no doubled times'}"


def _damage(facts: Facts) -> str:
    damage = facts.damage
    parts = [f"{count} {reason.replace('_', ' ')}" for reason, count in damage.lost.items()]
    if damage.before_key:
        parts.append(f"{damage.before_key} before the first key")
    lost = f"{100 * damage.share:.1f} % lost: " if damage.num_lost else ""
    return lost + ", ".join(parts) if parts else "none" if facts.video is not None else "no picture came"


def _evidence(facts: Facts) -> str:
    signals = facts.signals
    if signals is None:
        return ""
    parts = [name for name in ("vectors", "quantisers", "bits") if name not in signals.missing]
    has = {"full": "full: motion vectors, quantisers, bits per macroblock", "none": "none", "reduced": "reduced: "}[
        signals.level
    ]
    if signals.level == "reduced":
        has += ", ".join(parts) + (" without " if parts else "no ") + ", ".join(signals.missing)
    motion = f"; {signals.motion}" if signals.motion != "unknown" else ""
    return has + motion + (f" (vectors {signals.motion_px:.1f} px)" if signals.motion_px is not None else "")


def _groups(facts: Facts) -> str:
    load = facts.load
    if load is None or load.group_s is None:
        return ""
    return (
        f"about {load.groups_per_min:.0f} a minute of {load.group_s:.1f} s, {load.canvases_per_group or 0:.1f} canvases each; "
        f"{load.tokens_per_min:.0f} tokens a minute, {100 * load.active_share:.0f} % of it active as seen"
    )


def _model(facts: Facts) -> str:
    load = facts.load
    if load is None or load.window_s is None:
        return ""
    return (
        f"takes {load.prefill_per_s:.0f} tokens/s (token_rate {load.token_rate:g}), {load.patches_per_s:.0f} patches/s; "
        f"{load.window_tokens} tokens hold {load.window_s:.0f} s{_windows(load)}"
    )


def _windows(load: Load) -> str:
    """How long a window lasts by activity; nothing where it does not matter."""
    told = {share: each.window_s for share, each in load.by_activity.items() if each.window_s is not None}
    if len(set(told.values())) < 2:
        return ""
    return " (" + ", ".join(f"{_long(seconds)} at {share} % active" for share, seconds in told.items()) + ")"


def _long(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _cost(facts: Facts) -> str:
    load = facts.load
    if load is None:
        return ""
    ratio = f", {load.ratio:.1f} times that to tokenize" if load.ratio is not None else ""
    why = f" ({load.why_decoded})" if load.why_decoded else ""
    decoded = f", {100 * load.decoded_share:.0f} % of the pictures decoded{why}"
    memory = f"; {load.memory_mib:.0f} MiB" if load.memory_mib is not None else ""
    return f"{load.cores:.2f} of {load.num_cores} cores (plain decoding {load.decode_cores:.2f}{ratio}{decoded}){memory}"


ROWS: dict[str, Callable[[Facts], str]] = {
    "transport": _transport,
    "video": _video,
    "pictures": _pictures,
    "arrival": _arrival,
    "keys": _keys,
    "order": _order,
    "bits": _bits,
    "quality": _quality,
    "clock": _clock,
    "damage": _damage,
    "evidence": _evidence,
    "groups": _groups,
    "model": _model,
    "cost": _cost,
}
"""What each row of the page says; empty rows are left out."""

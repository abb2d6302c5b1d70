"""Rules about the way here: what is lost or late, whose clock is wrong, what it costs.

In: `Facts`. Out: `RULES`.
"""

from __future__ import annotations

from stream.doctor.advice import GOOD_GOP_S, Advice
from stream.doctor.facts import Facts

MANY_CORES = 0.4
"""Share of all cores that one camera should not exceed."""
ONE_CORE = 0.95
"""A camera is tokenized by one thread."""
LATE_MS, UNEVEN_GAP_S = 250.0, 2.0
WRONG_CLOCK_S, OFF_CLOCK_S, FAST_DRIFT_MS = 5.0, 1.0, 60.0
FEW_LOST, MANY_LOST = 0.001, 0.05
SLOW_START_S = 5.0
SHORT_WATCH_S = 5.0


def _no_picture(facts: Facts) -> Advice | None:
    if facts.video is None:
        return Advice(
            code="no_picture",
            severity="bad",
            measured="the connection opened, but no picture came",
            setting="check that the camera's channel is on, and that the path is its video stream",
        )
    if facts.signals is not None and facts.signals.level == "none":
        return Advice(
            code="no_picture",
            severity="bad",
            measured=f"{facts.damage.before_key + facts.damage.num_lost} packets came, and none could be decoded",
            setting=f"set the I-frame interval to {GOOD_GOP_S:g} s, or restart the camera's stream",
        )
    return None


def _broke(facts: Facts) -> Advice | None:
    if facts.damage.ended != "broke":
        return None
    why = facts.damage.why.rpartition(": ")[2] or facts.damage.why
    return Advice(
        code="connection_broke",
        severity="bad",
        measured=f"after {facts.transport.watched_s:.1f} s of pictures: {why}",
        setting="check the cable, Wi-Fi and power of the camera, and how many viewers it allows at once",
    )


def _cut_short(facts: Facts) -> Advice | None:
    if facts.damage.ended == "bytes":
        return Advice(code="watch_cut_short", severity="note", measured=facts.damage.why)
    if facts.video is None or facts.transport.watched_s >= SHORT_WATCH_S:
        return None
    return Advice(
        code="short_watch",
        severity="note",
        measured=f"only {facts.transport.watched_s:.1f} s were seen; rates and advice are rough",
        setting="watch longer with --seconds" if facts.damage.ended == "watched" else "",
    )


def _damage(facts: Facts) -> Advice | None:
    damage = facts.damage
    if damage.share <= FEW_LOST:
        return None
    reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in damage.lost.items())
    return Advice(
        code="damaged",
        severity="bad" if damage.share > MANY_LOST else "warn",
        measured=f"{100 * damage.share:.1f} % of the pictures were lost or damaged ({reasons})",
        setting="use TCP and a cable, or lower the bit rate; a file: it was cut off or written badly",
    )


def _cost(facts: Facts) -> Advice | None:
    load, video = facts.load, facts.video
    if load is None or video is None or (load.cores <= MANY_CORES * load.num_cores and load.cores < ONE_CORE):
        return None
    too_much = load.cores >= ONE_CORE
    return Advice(
        code="cost",
        severity="bad" if too_much else "warn",
        measured=f"{video.width}x{video.height} at {facts.pace.fps if facts.pace else 0:.0f} pictures/s costs {load.cores:.1f} of "
        f"{load.num_cores} cores" + ("; one thread cannot keep up" if too_much else ""),
        setting="use the sub-stream (640x360 to 1280x720), or lower the frame rate",
    )


def _arrival(facts: Facts) -> Advice | None:
    pace = facts.pace
    if pace is None or pace.jitter_ms is None or pace.longest_gap_s is None:
        return None
    step_s = 1 / pace.fps if pace.fps else 0.0
    if pace.longest_gap_s > max(UNEVEN_GAP_S, 4 * step_s):
        return Advice(
            code="stalls",
            severity="warn",
            measured=f"nothing came for {pace.longest_gap_s:.1f} s",
            setting="check Wi-Fi and the camera's load; use a cable, fewer viewers, a lower bit rate",
        )
    if pace.jitter_ms <= max(LATE_MS, 1000 * step_s):
        return None
    return Advice(
        code="jitter",
        severity="warn",
        measured=f"pictures come up to {pace.jitter_ms:.0f} ms off their place",
        setting="check Wi-Fi; a cable, or a lower bit rate, evens it out",
    )


def _slow_start(facts: Facts) -> Advice | None:
    first_s = facts.transport.first_picture_s
    if first_s is None or first_s <= SLOW_START_S:
        return None
    return Advice(
        code="slow_start",
        severity="note",
        measured=f"the first picture came after {first_s:.1f} s",
        setting=f"a shorter I-frame interval ({GOOD_GOP_S:g} s) makes reconnects quick",
    )


def _wall_clock(facts: Facts) -> Advice | None:
    clock = facts.clock
    if clock is None:
        return None
    offset_s = clock.reports.offset_s
    if offset_s is None:
        return Advice(
            code="no_sender_reports",
            severity="note",
            measured="the camera does not tell its wall clock: times are those of arrival",
            setting="where cameras must agree in time, switch on RTCP sender reports",
        )
    if abs(offset_s) <= OFF_CLOCK_S:
        return None
    return Advice(
        code="clock_wrong",
        severity="warn" if abs(offset_s) > WRONG_CLOCK_S else "note",
        measured=f"the camera's clock is {duration(abs(offset_s))} {'ahead' if offset_s > 0 else 'behind'}",
        setting="set the camera's time server (NTP)",
    )


def _drift(facts: Facts) -> Advice | None:
    clock = facts.clock
    if clock is None or not clock.drifts or clock.drift_ms_per_min is None or abs(clock.drift_ms_per_min) < FAST_DRIFT_MS:
        return None
    return Advice(
        code="clock_drift",
        severity="warn",
        measured=f"by its {clock.drift_by} the camera {'gains' if clock.drift_ms_per_min > 0 else 'loses'} "
        f"{abs(clock.drift_ms_per_min):.0f} ms a minute",
        setting="set the camera's time server (NTP); a stream that is relayed: check the relay's load",
    )


def _timestamps(facts: Facts) -> Advice | None:
    clock = facts.clock
    if clock is None:
        return None
    found = {
        "jumps": clock.jumps,
        "steps back": clock.steps_back,
        "doubled times": clock.duplicates,
        "pictures without a time": clock.untimed,
    }
    told = ", ".join(f"{count} {what}" for what, count in found.items() if count)
    if not told:
        return None
    return Advice(
        code="timestamps",
        severity="warn" if clock.jumps or clock.steps_back else "note",
        measured=f"the camera's times are not in order ({told}); they are repaired, and groups are cut at jumps",
        setting="update the camera's firmware, or switch off its time correction",
    )


def duration(seconds: float) -> str:
    """`2.5 s`, `4 min`, `3 h`, `12 days`."""
    for unit, length_s in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.1f} s"


RULES = (
    _no_picture,
    _broke,
    _cut_short,
    _damage,
    _cost,
    _arrival,
    _slow_start,
    _wall_clock,
    _drift,
    _timestamps,
)
"""(facts) -> advice, or None where there is no such problem."""

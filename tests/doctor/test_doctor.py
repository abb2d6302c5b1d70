"""`ov2 doctor`: what it finds in streams that real encoders made, and what it advises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_clips import CLIPS, RATES, controlled
from ov2_cli.doctor_rows import ROWS
from ov2_cli.doctor_screen import ROW_OF
from ov2_command import ov2
from repository import ROOT
from rtsp_fixtures import RtspServer

from stream.doctor.advice import Advice, is_usable
from stream.doctor.examine import examine
from stream.doctor.facts import Facts, facts_of
from stream.doctor.observe import Observation, observe
from stream.doctor.report import Report, advice_of, visit
from stream.sources.sample import Sample
from stream.tokenizer.settings import settings_from


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Report]:
    """The report on a clip by name, made once."""
    folder, made = tmp_path_factory.mktemp("clips"), {}

    def of(name: str) -> Report:
        if name not in made:
            path = folder / f"{name}.mp4"
            made[name] = visit(str(CLIPS[name](path) if name in CLIPS else controlled(path, **RATES[name])))
        return made[name]

    return of


def codes(found: Report | list[Advice]) -> dict[str, Advice]:
    return {each.code: each for each in (found.advice if isinstance(found, Report) else found)}


@pytest.mark.parametrize("mode", RATES)
def test_the_way_an_encoder_shares_out_its_bits_is_told_from_the_stream(report: Callable[[str], Report], mode: str) -> None:
    bits = report(mode).facts.bits
    assert bits is not None
    assert bits.control.mode == mode, bits.control
    assert bits.peak_kbps > bits.mean_kbps > 0


@pytest.mark.parametrize(
    ("clip", "code", "severity", "measured", "setting"),
    [
        ("well", "all_well", "ok", "nothing to mend", ""),
        ("long", "long_gop", "warn", "key frame every 12 s: questions right after a reconnect wait", "I-frame interval to 2 s"),
        ("smart", "long_gop", "warn", "no second key frame in 13 s", "'smart'"),
        ("refresh", "intra_refresh", "note", "column by column", ""),
        ("b_frames", "b_frames", "note", "pictures wait 200 ms", "B-frames to 0"),
        ("interlaced", "interlaced", "warn", "interlaced", "progressive"),
        ("intra", "intra_only", "warn", "coded on its own", "I-frame interval"),
        ("high_10", "evidence_reduced", "warn", "more than eight bits", "8 bits"),
        ("h265", "codec_reduced", "warn", "H.265: evidence is reduced", "set the sub-stream to H.264"),
        ("fast", "fast_frames", "note", "50 pictures/s", "10 to 15"),
        ("slow", "slow_frames", "note", "2.0 pictures/s", "8 to 15"),
        ("claims", "frame_rate_claim", "note", "claims 30 pictures/s, 10 come", ""),
        ("damaged", "damaged", "bad", "lost or damaged", "TCP"),
        ("coarse", "coarse", "note", "the picture is coarse (mean QP 35)", "raise the quality, to about"),
        ("generous", "generous", "note", "code the noise too", "would do"),
        ("scene_cuts", "smart_codec", "note", "changing distances", "smart"),
        ("resized", "resized", "note", "in 2 sizes", "automatic resolution"),
        ("starved", "starved", "warn", "bit rate is constant and the picture is starved (mean QP 4", "raise it to about"),
    ],
)
def test_a_problem_gets_the_advice_that_mends_it(
    report: Callable[[str], Report], clip: str, code: str, severity: str, measured: str, setting: str
) -> None:
    found = report(clip)
    advice = codes(found)[code]
    assert advice.severity == severity
    assert measured in advice.measured
    assert setting in advice.setting
    assert found.usable == (severity != "bad")


def test_a_stream_without_the_problem_does_not_get_the_advice(report: Callable[[str], Report]) -> None:
    assert list(codes(report("well"))) == ["all_well"]
    assert list(codes(report("constant quality"))) == ["all_well"]


@pytest.mark.parametrize(
    ("clip", "promised"),
    [
        ("well", {"profile": "High", "entropy": "CABAC", "interlaced": False, "slices": 1, "chroma": "4:2:0", "bit_depth": 8}),
        ("slices", {"slices": 4}),
        ("cavlc", {"profile": "Constrained Baseline", "entropy": "CAVLC"}),
        ("cropped", {"width": 186, "height": 122, "coded_width": 192, "coded_height": 128, "is_cropped": True}),
        ("interlaced", {"interlaced": True}),
        ("high_10", {"profile": "High 10", "bit_depth": 10}),
        ("h265", {"profile": "Main", "width": 160, "height": 96, "bit_depth": 8, "chroma": "4:2:0"}),
        ("b_frames", {"reorder": 2}),
        ("starved", {"claimed_cbr": True, "claimed_kbps": 19.968}),
        ("claims", {"claimed_fps": 30.0}),
    ],
)
def test_what_the_pictures_are_is_read_from_the_stream(
    report: Callable[[str], Report], clip: str, promised: dict[str, object]
) -> None:
    video = report(clip).facts.video
    assert {name: getattr(video, name) for name in promised} == promised


def test_evidence_is_full_for_plain_h264_and_says_what_is_missing_elsewhere(report: Callable[[str], Report]) -> None:
    levels = {name: report(name).facts.signals for name in ("well", "interlaced", "h265", "intra")}
    assert {name: signals.level for name, signals in levels.items() if signals} == {
        "well": "full",
        "interlaced": "reduced",
        "h265": "reduced",
        "intra": "reduced",
    }
    assert levels["interlaced"] is not None
    assert levels["interlaced"].missing == {"bits": "interlaced"}
    assert levels["h265"] is not None
    assert set(levels["h265"].missing) == {"vectors", "quantisers", "bits"}


def test_costs_and_tokens_are_those_of_the_service(report: Callable[[str], Report]) -> None:
    load = report("constant quality").facts.load
    assert load is not None
    assert load.seen_groups > 3
    assert min(load.cores, load.decode_cores) > 0
    assert load.groups_per_min * load.tokens_per_min > 0
    assert load.tokens_per_min == pytest.approx(60 * load.prefill_per_s)
    assert load.group_s is not None
    assert load.groups_per_min == pytest.approx(60 / load.group_s)
    still, tenth, half, always = (load.by_activity[share] for share in ("0", "10", "50", "100"))
    assert 0.9 * load.token_rate < always.tokens_per_s < 1.1 * load.token_rate
    assert tenth.tokens_per_s < 0.2 * always.tokens_per_s
    assert still.window_s is not None
    assert always.window_s is not None
    assert still.window_s > 10 * always.window_s
    assert half.tokens_per_s < load.prefill_per_s + always.tokens_per_s
    assert 0.2 < load.active_share < 1, "calm and busy stretches"


def test_a_rate_that_the_picture_cannot_fill_is_told_with_what_to_set(tmp_path: Path) -> None:
    found = visit(str(CLIPS["well"](tmp_path / "small.mp4")), settings=settings_from({"max_pixels": 3000}))
    told = codes(found)["token_rate_limited"]
    assert "below token_rate 100" in told.measured
    assert "larger canvases" in told.setting


def test_a_report_is_plain_json_and_the_page_says_every_row(report: Callable[[str], Report]) -> None:
    for name in ("well", "h265", "damaged"):
        found = report(name)
        told = json.loads(json.dumps(found.as_json(), allow_nan=False))
        assert told["usable"] == found.usable
        assert told["clock"] is None
        assert {each["code"] for each in told["advice"]} == set(codes(found))
        assert all(isinstance(tell(found.facts), str) for tell in ROWS.values())


def test_every_code_has_its_row_on_the_page_and_its_line_in_the_docs() -> None:
    source = "".join(file.read_text() for file in (ROOT / "stream" / "doctor").glob("advice*.py"))
    known = set(re.findall(r'code="(\w+)"', source)) - {"all_well"}
    assert set(ROW_OF) == known
    assert set(ROW_OF.values()) <= set(ROWS)
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "doctor.md").read_text(), re.MULTILINE))
    assert documented >= known


# a live camera


def test_a_live_camera_is_watched_by_our_clock_and_by_its_own(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(CLIPS["well"](tmp_path / "clip.mp4"), user="me", password="hunter2")
    told: list[str] = []
    found = visit(f"rtsp://me:hunter2@127.0.0.1:{port}/cam", seconds=4.0, tell=lambda what, share: told.append(what))
    facts = found.facts
    assert facts.transport.address == f"rtsp://***@127.0.0.1:{port}/cam"
    assert facts.transport.first_picture_s is not None
    assert facts.transport.first_picture_s >= facts.transport.opened_s - 1.0
    assert facts.pace is not None
    assert facts.pace.fps == pytest.approx(10, rel=0.02)
    assert facts.pace.arrival_fps == pytest.approx(10, rel=0.15)
    assert facts.pace.longest_gap_s is not None
    assert facts.video is not None
    assert facts.video.parameter_sets == "every key"
    assert facts.clock is not None
    assert facts.damage.ended == "watched"
    assert found.usable
    assert "hunter2" not in json.dumps(found.as_json())
    assert list(dict.fromkeys(told)) == ["connecting", "watching", "tokenizing", "decoding, to compare", "looking closer"]


def test_a_camera_that_falls_silent_ends_the_watch_and_is_bad(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(CLIPS["long"](tmp_path / "clip.mp4"))

    def freeze_once_it_runs(what: str, share: float) -> None:
        if what == "watching":
            rtsp_server.freeze()

    found = visit(f"rtsp://127.0.0.1:{port}/cam", seconds=60.0, timeout_s=4.0, tell=freeze_once_it_runs)
    assert codes(found)["connection_broke"].severity == "bad"
    assert "no packet within 4 s" in codes(found)["connection_broke"].measured
    assert not found.usable


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Observation:
    """A clip as if a camera had sent it, each picture right when it is due."""
    watch = observe(str(CLIPS["long"](tmp_path_factory.mktemp("watched") / "clip.mp4")))
    return as_live(watch, lambda sample, due_s: sample._replace(arrival_s=due_s))


def as_live(watch: Observation, change: Callable[[Sample, float], Sample]) -> Observation:
    samples = tuple(change(sample, 1e9 + packet.pts_s) for sample, packet in zip(watch.samples, watch.packets, strict=True))
    return replace(watch, kind="pull", is_live=True, shown="rtsp://camera/", samples=samples)


def judged(watch: Observation) -> tuple[Facts, dict[str, Advice]]:
    facts = facts_of(watch, examine(watch.packets[:20]))
    return facts, codes(advice_of(facts))


def test_a_camera_whose_clock_is_an_hour_behind_is_told_to_ask_a_time_server(watched: Observation) -> None:
    late = as_live(watched, lambda sample, due_s: sample._replace(arrival_s=due_s, reported_s=due_s - 3600))
    facts, advice = judged(late)
    assert advice["clock_wrong"].severity == "warn"
    assert "60 min behind" in advice["clock_wrong"].measured
    assert "NTP" in advice["clock_wrong"].setting
    assert facts.clock is not None
    assert not facts.clock.drifts


def test_a_clock_that_runs_too_fast_is_seen_through_uneven_arrivals(watched: Observation) -> None:
    def fast(sample: Sample, due_s: float) -> Sample:
        uneven_s = 0.02 * (hash(due_s) % 7) / 7
        return sample._replace(arrival_s=due_s + uneven_s, reported_s=1e9 + (due_s - 1e9) * 1.004)

    facts, advice = judged(as_live(watched, fast))
    assert facts.clock is not None
    assert facts.clock.drift_ms_per_min == pytest.approx(240, abs=20)
    assert advice["clock_drift"].severity == "warn"
    assert "gains" in advice["clock_drift"].measured


def test_even_arrivals_are_no_problem_and_a_silent_camera_says_so(watched: Observation) -> None:
    facts, advice = judged(watched)
    assert facts.pace is not None
    assert facts.pace.jitter_ms == pytest.approx(0, abs=0.01)
    assert not {"jitter", "stalls", "clock_drift", "timestamps"} & set(advice)
    assert advice["no_sender_reports"].severity == "note"


def test_late_pictures_and_silences_are_told_apart(watched: Observation) -> None:
    late = as_live(watched, lambda sample, due_s: sample._replace(arrival_s=due_s + 1.5 * (int(due_s) % 2)))
    assert "jitter" in judged(late)[1]
    silent = as_live(watched, lambda sample, due_s: sample._replace(arrival_s=due_s + (4 if due_s > 1e9 + 10 else 0)))
    advice = judged(silent)[1]
    assert "nothing came for 4.1 s" in advice["stalls"].measured


def test_times_that_jump_or_repeat_are_counted(watched: Observation) -> None:
    twice = watched.samples[40]._replace(pts=watched.samples[39].pts)
    untimed = watched.samples[50]._replace(pts=None)
    samples = (*watched.samples[:40], twice, *watched.samples[41:50], untimed, *watched.samples[51:])
    jumped = tuple(replace(p, discontinuity=n == 80) for n, p in enumerate(watched.packets))
    facts, advice = judged(replace(watched, samples=samples, packets=jumped))
    assert facts.clock is not None
    assert (facts.clock.jumps, facts.clock.duplicates, facts.clock.untimed) == (1, 1, 1)
    assert advice["timestamps"].severity == "warn"


def test_a_watch_without_a_key_or_with_its_parameter_sets_only_once_is_told(watched: Observation) -> None:
    keyless = replace(watched, samples=watched.samples[1:100], packets=watched.packets[1:100])
    assert "no key frame in 10 s" in judged(keyless)[1]["no_key"].measured
    assert "only once" in judged(replace(watched, in_band_sets=1))[1]["parameter_sets_once"].measured
    assert "parameter_sets_once" not in judged(replace(watched, in_band_sets=3))[1]
    assert "9.0 s" in judged(replace(watched, first_picture_s=9.0))[1]["slow_start"].measured


def test_a_stream_that_costs_a_core_cannot_be_used(watched: Observation) -> None:
    seen = examine(watched.packets[:20])
    for cores, severity in ((0.5, "warn"), (1.2, "bad")):
        facts = facts_of(watched, replace(seen, tokenize_cpu_s=cores * watched.span_s))
        assert facts.load is not None
        advice = advice_of(replace(facts, load=replace(facts.load, num_cores=1 if severity == "warn" else 8)))
        assert codes(advice)["cost"].severity == severity
        assert is_usable(advice) == (severity == "warn")


def test_nothing_but_an_open_connection_is_bad(watched: Observation) -> None:
    nothing = replace(watched, samples=(), packets=())
    facts = facts_of(nothing, examine(()))
    assert codes(advice_of(facts))["no_picture"].severity == "bad"
    assert json.dumps(Report(facts=facts, advice=tuple(advice_of(facts))).as_json(), allow_nan=False)


# the command


def test_the_command_prints_one_page_and_its_exit_code_tells_whether_the_stream_is_usable(tmp_path: Path) -> None:
    well, bad = CLIPS["well"](tmp_path / "well.mp4"), CLIPS["damaged"](tmp_path / "damaged.mp4")
    done = ov2("doctor", str(well))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines) <= 100
    assert len(lines) <= 40
    assert "all_well" in done.stdout
    done = ov2("doctor", str(bad), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["advice"][0]["code"] == "damaged"


def test_the_command_shows_the_ladder_of_a_source_that_does_not_open() -> None:
    done = ov2("doctor", "rtsp://me:hunter2@127.0.0.1:9/cam", "--timeout-s", "2")
    assert done.returncode == 2
    assert "✗ port" in done.stdout
    assert re.fullmatch(r"ov2: rtsp://\*\*\*@127\.0\.0\.1:9/cam: connection refused.*\n", done.stderr)
    as_json = ov2("doctor", "rtsp://me:hunter2@127.0.0.1:9/cam", "--timeout-s", "2", "--json")
    told = json.loads(as_json.stdout)
    assert as_json.returncode == 2
    assert [(rung["step"], rung["ok"]) for rung in told["ladder"]] == [("name", True), ("port", False)]
    assert "hunter2" not in done.stdout + done.stderr + as_json.stdout + as_json.stderr

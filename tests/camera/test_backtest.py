"""A watch over a recording tells what the recording shows, and a zone hides what is outside it."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from ov2_cli.main import app
from PIL import Image
from typer.testing import CliRunner
from waiting import until

from ov2.engine import Engine, EngineSettings
from ov2.model import OV2Model
from stream.camera.backtest import BackTest, Judged, PacketClock
from stream.camera.pipeline import CameraPipeline
from stream.camera.tokenizing import LocalTokenizer, TokenizingSettings
from stream.config.configuration import ModelSettings
from stream.events.event import Change, Event
from stream.serve.run import load_model
from stream.sources import open_source
from stream.tokenizer.settings import settings_from
from stream.watch import WatchSettings
from stream.watch.judge import QUICKEST_S, WatchJudge
from stream.watch.zone import Polygon
from trainer.evaluate.alerts import SENTENCES, Told, TrueEvent, score, true_events
from trainer.world import World, write_file

SECONDS = 18.0
SEED = 104
STREET_Y = 0.7
"""Cars of the yard are below."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A car stands on the street, and drives away after eleven seconds."""
    path = tmp_path_factory.mktemp("film") / "yard.mp4"
    write_file(World(SEED, duration_s=SECONDS), path, width=640, height=360, fps=10)
    return path


@pytest.fixture(scope="module")
def nano() -> OV2Model:
    return load_model(ModelSettings())


def tried(nano: OV2Model, film: Path, **watches: WatchSettings) -> list[Judged]:
    with open_source(str(film), clock=lambda: 1000.0) as packets:
        return list(BackTest(nano, "front", watches, every_s=1.0).run(packets))


def test_what_is_told_of_a_recording_is_true_and_a_zone_hides_the_rest(nano: OV2Model, film: Path) -> None:
    """The car is told of by who looks at all, or at the street; not by who looks at what is above it."""
    car = WatchSettings(sentence=SENTENCES["car"])
    judged = tried(
        nano,
        film,
        all=car,
        street=car.model_copy(update={"zone": (((0.0, STREET_Y), (1.0, STREET_Y), (1.0, 1.0), (0.0, 1.0)),)}),
        above=car.model_copy(update={"zone": (((0.0, 0.0), (1.0, 0.0), (1.0, STREET_Y), (0.0, STREET_Y)),)}),
    )
    told = {name: [c for one in judged if one.watch == name for c in one.changes] for name in ("all", "street", "above")}
    assert [change.type for change in told["all"]] == ["new", "end"]
    assert [change.type for change in told["street"]][:2] == ["new", "end"]
    assert told["above"] == []
    event = told["all"][-1].after
    [truth] = true_events(World(SEED, duration_s=SECONDS), end_s=SECONDS)["car"]
    assert event.end_time is not None
    assert abs(event.start_time - 1000.0 - truth.first_s) < 2.0
    assert abs(event.end_time - 1000.0 - truth.last_s) < 4.0
    begun = [one for one in judged if one.watch == "all" and one.picture is not None]
    pictures = [Image.open(io.BytesIO(one.picture)) for one in begun if one.picture is not None]
    assert [(picture.format, picture.size) for picture in pictures] == [("JPEG", (640, 360))]


def unnamed(change: Change) -> tuple[str, Event]:
    """A change without its id, which is random."""
    return change.type, replace(change.after, id="")


def test_the_back_test_tells_what_the_service_tells_of_the_same_packets(nano: OV2Model, film: Path) -> None:
    """The service's judge runs in its own thread, hints wake it, and the engine is idle at every packet; the clock is the packets'."""
    settings, every_s = WatchSettings(sentence=SENTENCES["car"]), 1.0
    told: list[Change] = []
    looked_s: list[float] = []
    clock, num_judged, due_s, judged_s = PacketClock(), 0, 0.0, -1.0
    lock = threading.Lock()

    def wall_s() -> float:
        with lock:
            return clock.wall_s

    def media_s() -> float:
        with lock:
            return clock.media_s

    def view(camera: str, zone: tuple[Polygon, ...]) -> CameraPipeline:
        looked_s.append(media_s())
        return pipeline

    def judged_so_often(times: int) -> bool:
        return judge.counts["judged"] >= times

    with Engine(nano, EngineSettings(max_streams=1)) as engine:
        tokenizing = TokenizingSettings(name="front", tokenizer=settings_from(nano.stream_settings.get("tokenizer", {})))
        tokenizer = LocalTokenizer(tokenizing, clock=wall_s)
        pipeline = CameraPipeline("front", tokenizer, engine.open("front"), clock=wall_s)
        judge = WatchJudge(view, told.append, every_s=every_s, share=1.0, clock=wall_s, monotonic=media_s)
        with open_source(str(film), clock=lambda: 1000.0) as packets:
            for packet in packets:
                done = pipeline.push([packet])
                pipeline.wait()
                with lock:
                    clock.see(packet)
                begun = any(change.type == "new" for change in done.changes)
                if not num_judged:
                    judge.put("front", "car", settings)
                    judge.start()
                if done.groups or begun:
                    judge.hint("front")
                    due_s = min(due_s, max(clock.media_s, judged_s + QUICKEST_S))
                if due_s <= clock.media_s:
                    num_judged, judged_s, due_s = num_judged + 1, clock.media_s, clock.media_s + every_s
                    until(partial(judged_so_often, num_judged))
        judge.stop()
        judge.away("front")
        assert judge.counts["judged"] == num_judged
    tested = tried(nano, film, car=settings)
    assert [unnamed(change) for one in tested for change in one.changes] == [unnamed(change) for change in told]
    assert [change.type for change in told] == ["new", "end"]
    assert [one.media_s for one in tested] == looked_s


@pytest.mark.parametrize("kind", ["file", "log"])
def test_the_command_shows_when_it_would_have_told(film: Path, tmp_path: Path, kind: str) -> None:
    recording = film
    if kind == "log":
        recording = tmp_path / "log"
        recorded = CliRunner().invoke(app, ["record", str(film), "--out", str(recording), "--json"])
        assert recorded.exit_code == 0, recorded.output
    flags = ["--log", str(recording), "--out", str(tmp_path), "--every", "1.0", "--json"]
    result = CliRunner().invoke(app, ["watch", "test", "front", SENTENCES["car"], *flags])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert len(report["events"]) == 1
    assert Path(report["events"][0]["picture"]).read_bytes()[:2] == b"\xff\xd8"
    assert (tmp_path / "watch.png").stat().st_size > 1000


def test_telling_is_scored_against_the_truth() -> None:
    events = [TrueEvent(5.0, 9.0, 5.2, 3.0), TrueEvent(20.0, 20.5, 20.0, 0.4), TrueEvent(30.0, 40.0, None, 9.0)]
    told = [Told(5.5, 8.0, 6.2), Told(6.0, 7.0, 6.5), Told(20.2, 21.0, 20.9), Told(50.0, None, 51.0)]
    tally = score(events, told, end_s=60.0)
    assert (tally.right, tally.wrong, tally.missed) == (1, 2, 1)
    assert tally.delays_s == [pytest.approx(1.0)]
    assert tally.f1 == pytest.approx(2 / (2 + 2 + 1))

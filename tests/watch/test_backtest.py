"""A watch over a recording tells what the recording shows, and a zone hides what is outside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ov2_cli.main import app
from typer.testing import CliRunner

from ov2.model import OV2Model
from stream.config.configuration import ModelSettings
from stream.serve.run import load_model
from stream.sources import open_source
from stream.watch import WatchSettings
from stream.watch.backtest import BackTest, Judged
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
    assert [one.picture.shape for one in begun if one.picture is not None] == [(360, 640, 3)]


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

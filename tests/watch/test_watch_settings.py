"""What may be set of a watch: its sentence, hours and zone; and how it is kept."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ov2.canvas import CanvasGroup
from stream.errors import SettingsError
from stream.watch.schedule import Schedule
from stream.watch.settings import WatchSettings
from stream.watch.store import WatchStore
from stream.watch.zone import GREY, Polygon, is_inside, only_inside

LEFT: Polygon = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


@pytest.mark.parametrize(
    ("line", "inside", "outside"),
    [
        ("mon-fri 08:00-18:00", "2026-11-20 08:00", "2026-11-20 18:00"),
        ("22:00-06:00", "2026-11-20 05:59", "2026-11-20 06:00"),
        ("sat,sun", "2026-11-21 12:00", "2026-11-20 23:59"),
        ("fri 22:00-06:00", "2026-11-21 03:00", "2026-11-20 03:00"),
        ("fri-mon", "2026-11-22 00:00", "2026-11-24 00:00"),
        ("00:00-24:00", "2026-11-22 23:59", ""),
    ],
)
def test_a_schedule_says_when_it_is_armed(line: str, inside: str, outside: str) -> None:
    assert Schedule([line]).holds(datetime.fromisoformat(inside))
    assert not outside or not Schedule([line]).holds(datetime.fromisoformat(outside))


@pytest.mark.parametrize("line", ["", "never", "mon-xyz", "8-18", "25:00-26:00", "08:00-08:00", "mon 08:00", "08:60-09:00"])
def test_a_schedule_that_cannot_be_read_is_refused(line: str) -> None:
    with pytest.raises(ValidationError, match="expected days, times or both"):
        WatchSettings(sentence="a dog", schedule=(line,))


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("sentence", "", "at least 1 character"),
        ("sentence", "   ", "expected some text"),
        ("sentence", "a" * 10_240, "at most 400"),
        ("sentence", "a dog\x07", "control character U+0007"),
        ("sentence", "a \u202edog", "control character U+202E"),
        ("release", 0.9, "expected at most threshold"),
        ("threshold", 1.0, "less than 1"),
        ("zone", [[[0, 0], [1, 1]]], "3 to 64 corners"),
        ("zone", [[[0, 0], [1, 1], [1, 0], [0, 1]]], "do not cross"),
        ("zone", [[[0, 0], [2, 0], [1, 1]]], "from 0 to 1"),
        ("zone", [[[0, 0], [0.5, 0.5], [1, 1]]], "at least 0.1%"),
        ("zone", [[[0, 0], [float("nan"), 0], [1, 1]]], "zone.0.1.0"),
        ("colour", "red", "Extra inputs"),
    ],
)
def test_what_makes_no_watch_is_refused_by_name(setting: str, value: object, words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        WatchSettings.model_validate({"sentence": "a dog", setting: value})


def group_of(rows: int, cols: int) -> CanvasGroup:
    """Two canvases of noise; every block's source is its own place."""
    rng = np.random.default_rng(0)
    block = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), -1).reshape(-1, 2)
    patches = (2 * block[:, None] + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])).reshape(-1, 2)
    positions = np.concatenate([np.column_stack([np.full(len(patches), t), patches]) for t in (0, 5)]).astype(np.int32)
    return CanvasGroup(
        canvases=rng.integers(0, 100, (2, rows * 28, cols * 28, 3), dtype=np.uint8),
        positions=positions,
        runs=((0.0, rows * cols), (0.5, rows * cols)),
        group_id=0,
        start_s=0.0,
        end_s=1.0,
        wall_s=1001.0,
        closed_by="quota",
    )


def test_blocks_outside_a_zone_do_not_count_and_those_inside_are_untouched() -> None:
    group = group_of(3, 4)
    seen = only_inside(group, [LEFT])
    assert (seen.canvases[:, :, 56:] == GREY).all()
    assert np.array_equal(seen.canvases[:, :, :56], group.canvases[:, :, :56])
    assert np.array_equal(seen.positions, group.positions)
    assert group.canvases.max() < 100, "the group itself is as it was"


@given(st.floats(0.02, 0.98), st.floats(0.02, 0.98))
def test_a_point_is_inside_a_square_when_it_is_between_its_sides(x: float, y: float) -> None:
    square: Polygon = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    expected = 0.25 < x < 0.75 and 0.25 < y < 0.75
    on_edge = min(abs(x - 0.25), abs(x - 0.75), abs(y - 0.25), abs(y - 0.75)) < 1e-9
    assert on_edge or bool(is_inside(np.array([[x, y]]), [square])[0]) == expected


def test_watches_are_kept_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "data" / "watches.json"
    store = WatchStore(path)
    store.put("front", "dog", WatchSettings(sentence="a dog", zone=(LEFT,), schedule=("mon-fri",)))
    store.put("front", "cat", WatchSettings(sentence="a cat"))
    store.remove("front", "cat")
    assert WatchStore(path).all() == {"front": {"dog": store.all()["front"]["dog"]}}
    path.write_text("[1, 2")
    path.with_name("watches.json.copy").unlink()
    with pytest.raises(SettingsError, match=r"watches\.json: expected a JSON object"):
        WatchStore(path)


@pytest.mark.parametrize("name", ["watches.json", "watches.json.copy"])
def test_any_flipped_bit_in_a_file_of_watches_is_made_good_from_the_other_and_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / "watches.json"
    WatchStore(path).put("front", "dog", WatchSettings(sentence="a dog", zone=(LEFT,)))
    kept, whole = WatchStore(path).all(), path.read_bytes()
    num_told = 0
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        (tmp_path / name).write_bytes(data)
        store = WatchStore(path)
        assert store.all() == kept
        num_told += store.num_damaged
        assert WatchStore(path).num_damaged == 0, "it was made anew"
        (tmp_path / name).write_bytes(whole)
    assert num_told > 0.95 * len(whole), "all but white space and the like"
    assert (tmp_path / f"{name}.damaged").exists()


def test_a_file_of_watches_of_before_there_were_checksums_is_read_and_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "watches.json"
    path.write_text('{"front": {"dog": {"sentence": "a dog"}, "old": {"sentence": ""}}}')
    store = WatchStore(path)
    assert store.all() == {"front": {"dog": WatchSettings(sentence="a dog")}}
    assert store.num_damaged == 0
    path.write_bytes(b"\0" * 40)
    assert WatchStore(path).all() == store.all()
    assert '"old"' in path.read_text(), "what this version does not take is not thrown away"
    edited = "\n".join(line.replace("a dog", "a hen") for line in path.read_text().splitlines() if "crc32" not in line)
    path.write_text(edited)
    assert WatchStore(path).all()["front"]["dog"].sentence == "a hen", "who edits it takes the checksum out"
    assert '"crc32"' in path.read_text()
    path.unlink()
    assert WatchStore(path).all() == {}, "who removes the file removes the watches"


def test_a_watch_that_cannot_be_written_down_changes_nothing(tmp_path: Path) -> None:
    store = WatchStore(tmp_path / "watches.json")
    store.put("front", "dog", WatchSettings(sentence="a dog"))
    before = store.all()
    (tmp_path / "watches.json.part").mkdir()  # stands for a disk that takes nothing
    with pytest.raises(OSError, match=r"watches\.json\.part"):
        store.put("front", "dog", WatchSettings(sentence="a cat"))
    with pytest.raises(OSError, match=r"watches\.json\.part"):
        store.remove("front", "dog")
    assert store.all() == before == WatchStore(tmp_path / "watches.json").all()


def test_a_kept_watch_that_is_not_valid_any_more_is_told_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "watches.json"
    path.write_text('{"front": {"good": {"sentence": "a dog"}, "bad": {"sentence": ""}}}')
    assert list(WatchStore(path).all()["front"]) == ["good"]
    assert "watch bad of camera front: left out" in caplog.text

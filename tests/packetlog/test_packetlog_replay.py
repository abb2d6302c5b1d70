"""A replay is the live run again: the same packets, the same groups and canvases, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ov2_command import ov2
from packetlog_cases import read
from packetlog_fixtures import SETTINGS, film, recorder

from stream.camera.recording import Recorder
from stream.packetlog import PacketLog, Start
from stream.packetlog.replay import tokenized
from stream.sources import open_source
from stream.tokenizer.budget import group_line
from stream.tokenizer.settings import settings_from
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet

__all__ = ["film"]

Lines = list[dict[str, Any]]


def behind(number: int) -> float:
    """How much the groups are widened: a model that falls behind, and catches up."""
    return 1.0 if number < 10 else 1.0 + 0.05 * (number % 40)


def live(packets_: Iterable[Packet], recorder: Recorder, widen: Callable[[int], float]) -> tuple[Lines, list[Packet]]:
    """What a camera's thread does."""
    tokenizer, groups, seen = Tokenizer(SETTINGS), [], []
    for number, packet in enumerate(packets_):
        factor = widen(number)
        tokenizer.widen(factor)
        recorder.put(packet, factor)
        groups += tokenizer.push(packet)
        seen.append(packet)
    groups += tokenizer.flush()
    assert recorder.close()
    return [group_line(group, index) for index, group in enumerate(groups)], seen


def replayed(folder: Path) -> Lines:
    def tokenizer_of(start: Start | None) -> Tokenizer:
        assert start is not None
        assert start.tokenizer is not None
        return Tokenizer(settings_from(start.tokenizer))

    return [group_line(group, index) for index, group in enumerate(tokenized(PacketLog(folder).entries(), tokenizer_of))]


def test_a_live_rtsp_run_and_its_replay_give_the_same_groups(
    film: Path, tmp_path: Path, rtsp_server: Callable[..., int]
) -> None:
    with open_source(f"rtsp://127.0.0.1:{rtsp_server(film)}/cam", timeout_s=30.0) as source:
        groups, seen = live(source, recorder(tmp_path), behind)
    assert len(groups) >= 3
    assert read(tmp_path) == seen
    assert replayed(tmp_path) == groups
    done = ov2("replay", str(tmp_path), "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == groups, done.stderr


def test_a_replay_widens_where_the_live_run_did(film: Path, tmp_path: Path) -> None:
    with open_source(str(film)) as source:
        groups, seen = live(source, recorder(tmp_path / "widened"), behind)
    plain, _ = live(seen, recorder(tmp_path / "plain"), lambda number: 1.0)
    assert groups != plain
    assert replayed(tmp_path / "widened") == groups
    assert replayed(tmp_path / "plain") == plain


def test_a_replay_does_all_else_that_was_done_to_the_tokenizer(film: Path, tmp_path: Path) -> None:
    tokenizer, groups, recording = Tokenizer(SETTINGS), [], recorder(tmp_path)
    with open_source(str(film)) as source:
        for number, packet in enumerate(source):
            recording.put(packet, 1.0)
            groups += tokenizer.push(packet)
            if number == 20:
                recording.steer("force")
                groups += tokenizer.force()
            if number == 30:
                recording.steer("advance", packet.media_s + 4.0)
                groups += tokenizer.advance(packet.media_s + 4.0)
            if number == 45:
                recording.steer("flush")
                groups += tokenizer.flush()
    groups += tokenizer.flush()
    recording.close()
    assert {"forced", "end"} <= {group.closed_by for group in groups}
    assert replayed(tmp_path) == [group_line(group, index) for index, group in enumerate(groups)]


def test_each_recording_of_a_log_is_tokenized_by_itself(film: Path, tmp_path: Path) -> None:
    with open_source(str(film)) as source:
        groups, seen = live(source, recorder(tmp_path), lambda number: 1.0)
    live(seen, recorder(tmp_path), lambda number: 1.0)
    assert replayed(tmp_path) == [{**line, "index": index} for index, line in enumerate(groups + groups)]

"""The service's recorder: it never raises, cuts clips while it records, and has the settings of the log."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import av
from packetlog_cases import packets, read
from packetlog_fixtures import SETTINGS, film, recorder
from waiting import until

from stream.camera.recording import Recorder
from stream.config.recording import RecordSettings
from stream.packetlog import PacketLogSettings
from stream.sources import open_source

__all__ = ["film"]


def test_a_recorder_that_cannot_record_counts_and_never_raises(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recording = Recorder("front", RecordSettings(folder=tmp_path / "file"), SETTINGS)
    for packet in packets(3):
        recording.put(packet, 1.0)
    recording.steer("flush")
    assert "expected a folder" in (recording.refused or "")
    assert recording.drops == {"log_refused": 3}
    assert recording.close()


def test_a_recorder_cuts_clips_while_it_records(film: Path, tmp_path: Path) -> None:
    recording = recorder(tmp_path / "log")
    with open_source(str(film)) as source:
        sent = list(source)
    for packet in sent:
        recording.put(packet, 1.0)
    until(lambda: any((tmp_path / "log").glob("*.ov2log")) and len(read(tmp_path / "log")) == len(sent))
    clip = recording.cut(recording.stretch("-2", "-0.5"), tmp_path / "clip.mp4")
    assert clip.start_s <= sent[-1].wall_s - 2 <= clip.end_s - 1
    with av.open(str(clip.path)) as container:
        assert len(list(container.decode(video=0))) == clip.num_frames
    assert recording.close()
    assert recording.drops == {}


def test_the_recorders_settings_are_those_of_the_log(tmp_path: Path) -> None:
    given = RecordSettings(folder=tmp_path, max_bytes=5 << 20, max_age_s=60.0).log_settings
    assert given == PacketLogSettings(max_bytes=5 << 20, max_age_s=60.0)
    assert asdict(RecordSettings(folder=tmp_path).log_settings) == asdict(PacketLogSettings())

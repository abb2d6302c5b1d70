"""Few pictures are read while nothing changes, all in the second after a change; and what cannot be read is not taken for stillness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from walker_film import FPS, WALK_S, film

from stream.codec.effort_reader import AFTER_CHANGE_S, MOST_PER_S, EffortReader, PictureEffort
from stream.codec.slice_reader import SliceReader
from stream.units import Packet


def efforts(packets: Sequence[Packet]) -> list[PictureEffort]:
    reader = EffortReader(SliceReader(with_vectors=True))
    return [reader.push(packet) for packet in packets]


def active_s(packets: Sequence[Packet]) -> list[float]:
    pairs = zip(packets, efforts(packets), strict=True)
    return [packet.pts_s for packet, told in pairs if told.effort is not None and told.effort.is_active]


def test_a_still_camera_is_read_five_times_a_second_and_a_change_is_looked_at_closely() -> None:
    packets = film()
    read_s = [p.pts_s for p, told in zip(packets, efforts(packets), strict=True) if told.effort is not None]
    still = [at for at in read_s if 1.5 <= at < WALK_S[0]]
    assert len(still) <= MOST_PER_S * (WALK_S[0] - 1.5) + 1
    noticed = min(active_s(packets))
    after = [at for at in read_s if noticed < at <= noticed + AFTER_CHANGE_S / 2]
    assert len(after) == pytest.approx(FPS * AFTER_CHANGE_S / 2, abs=1)


@pytest.mark.parametrize("bframes", [0, 3])
def test_what_crosses_is_active_and_the_wall_is_not(bframes: int) -> None:
    seen = active_s(film(bframes))
    assert min(seen) == pytest.approx(WALK_S[0], abs=0.5)
    assert max(seen) == pytest.approx(WALK_S[1], abs=0.7)
    steps = np.diff(seen)
    assert steps.max() < 0.5, "all the while"


def test_every_second_of_stream_is_spoken_for_once() -> None:
    total_s = sum(told.step_s for told in efforts(film()) if told.effort is not None)
    assert total_s == pytest.approx(10.0, abs=0.5)


def test_what_cannot_be_read_is_unknown_and_what_is_not_asked_for_is_not() -> None:
    packets = film()
    other = [replace(packet, codec="hevc") for packet in packets[:20]]
    assert all(told.is_unknown for told in efforts(other))
    cut = [
        replace(packet, data=packet.data[: len(packet.data) // 2 + 4]) if index else packet
        for index, packet in enumerate(packets[:60])
    ]
    told = efforts(cut)
    assert any(each.is_unknown for each in told)
    assert not any(each.is_unknown for each in efforts(packets))

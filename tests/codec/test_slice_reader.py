"""The slice data of a packet is read once, for boundary alerts and for the tokenizer alike."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip

from ov2.canvas import CanvasGroup
from stream.codec.decode import Decoder
from stream.codec.h264.slice_data import MacroblockParser
from stream.codec.slice_reader import SliceReader
from stream.sources import open_source
from stream.tokenizer.settings import TokenizerSettings
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet

CLIPS = ("cabac_main_b3", "cbr_lowdelay", "high_8x8_cabac")


def packets_of(path: Path) -> list[Packet]:
    with open_source(str(path)) as packets:
        return list(packets)


@pytest.mark.parametrize("name", CLIPS)
def test_what_alerts_have_read_is_not_read_again_for_the_picture(golden: Path, name: str) -> None:
    reader = SliceReader()
    decoder = Decoder(with_macroblocks=True, slices=reader)
    read, frames = {}, []
    for packet in packets_of(golden / "macroblock" / f"{name}.mp4")[:20]:
        read[packet.pts] = reader.of(packet).grids()
        frames += decoder.push(packet)
    frames += decoder.flush()
    assert len(frames) == 20
    for frame in frames:
        assert frame.macroblocks() is not None
        assert frame.macroblocks() is read[frame.packet.pts]


def test_a_picture_that_is_measured_twice_is_read_once(golden: Path) -> None:
    decoder = Decoder(with_macroblocks=True)
    frames = [frame for packet in packets_of(golden / "macroblock" / "cbr_lowdelay.mp4")[:5] for frame in decoder.push(packet)]
    assert all(frame.macroblocks() is frame.macroblocks() is not None for frame in frames)


@pytest.mark.parametrize("name", CLIPS)
def test_groups_are_the_same_with_and_without_alerts_and_so_are_quantisers(golden: Path, name: str) -> None:
    packets = packets_of(golden / "macroblock" / f"{name}.mp4")
    settings = TokenizerSettings(still_share=0.0, weight_bits=1.0)

    def groups(*, alerts: bool) -> tuple[list[CanvasGroup], list[float]]:
        tokenizer, found, qps = Tokenizer(settings), [], []
        for packet in packets:
            if alerts:
                qps.append(tokenizer.mean_qp(packet))
            found += tokenizer.push(packet)
            tokenizer.peek()
        return found + tokenizer.flush(), qps

    parser = MacroblockParser()
    alone = [frame.qp.mean() for packet in packets if (frame := parser.push(packet.data)) is not None]
    (plain, _), (watched, qps) = groups(alerts=False), groups(alerts=True)
    assert qps == alone
    assert len(plain) == len(watched) > 0
    for a, b in zip(plain, watched, strict=True):
        assert (a.start_s, a.end_s, a.closed_by) == (b.start_s, b.end_s, b.closed_by)
        np.testing.assert_array_equal(a.canvases, b.canvases)
        np.testing.assert_array_equal(a.positions, b.positions)


def test_what_cannot_be_read_has_no_quantiser(tmp_path: Path, golden: Path) -> None:
    tokenizer = Tokenizer()
    h265 = packets_of(
        write_clip(tmp_path / "clip.mp4", codec="libx265", num_frames=3, **{"x265-params": "log-level=none:pools=1"})
    )
    whole = packets_of(golden / "macroblock" / "cbr_lowdelay.mp4")[0]
    cut = replace(whole, data=whole.data[: len(whole.data) // 2])
    assert all(math.isnan(tokenizer.mean_qp(packet)) for packet in (*h265, cut, replace(whole, data=b"\x00\x00\x00\x01")))
    assert tokenizer.mean_qp(whole) > 0

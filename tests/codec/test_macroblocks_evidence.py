"""Bits per macroblock as evidence: measured with the picture, scored by the tokenizer, and missed where they cannot be read."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from mutations import access_units
from published import published

from ov2.canvas import CanvasGroup
from stream.codec.decode import Decoder
from stream.codec.evidence import measure
from stream.codec.h264.slice_data import MacroblockParser
from stream.sources import open_source
from stream.tokenizer.tokenizer import Tokenizer


def test_evidence_holds_bits_of_the_packet_where_asked_for(golden: Path) -> None:
    path = golden / "macroblock" / "high_8x8_cabac.mp4"
    decoder, parser = Decoder(with_macroblocks=True), MacroblockParser()
    with open_source(str(path)) as packets:
        frames = [frame for packet in packets for frame in decoder.push(packet)][:20]
    parser.push(access_units(path)[0])
    for frame in frames:
        evidence, truth = measure(frame, None), parser.push(frame.packet.data)
        assert truth is not None
        assert evidence.bits is not None
        np.testing.assert_array_equal(evidence.bits, truth.bits[: evidence.bits.shape[0]])
        assert evidence.bits.dtype == np.float32
    assert not decoder.unread


def test_pictures_that_cannot_be_read_fall_back_and_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_clip(tmp_path / "clip.mp4", num_frames=8, **{"x264-params": "tff=1"})
    decoder = Decoder("front", with_macroblocks=True)
    with open_source(str(clip)) as packets:
        frames = [frame for packet in packets for frame in decoder.push(packet)] + decoder.flush()
    measured = [measure(frame, previous) for previous, frame in pairwise(frames)]
    assert [evidence.bits for evidence in measured] == [None] * 7
    assert decoder.unread == {"interlaced": 7}
    assert [record.message for record in caplog.records if "no bits" in record.message] == [
        "front: no bits per macroblock (interlaced); evidence is motion, residual and size"
    ]
    assert all(evidence.residual.any() for evidence in measured)


def test_the_tokenizer_scores_by_bits_where_they_have_a_weight(golden: Path) -> None:
    def groups(**settings: float) -> list[CanvasGroup]:
        tokenizer = Tokenizer(published(still_share=0.0, **settings))
        with open_source(str(golden / "macroblock" / "cabac_main_b3.mp4")) as packets:
            return [group for packet in packets for group in tokenizer.push(packet)] + tokenizer.flush()

    plain, by_bits = groups(), groups(weight_bits=1e6)
    assert [group.canvases.shape for group in plain] == [group.canvases.shape for group in by_bits]
    assert any(not np.array_equal(a.positions, b.positions) for a, b in zip(plain, by_bits, strict=True))

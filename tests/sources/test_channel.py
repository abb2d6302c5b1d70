"""Messages over a channel come whole, whatever their size; who waits for one hears when the other end has gone, and does not wait for ever."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stream.sources.channel import Channel


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = (Channel(each, patience_s=60.0) for each in socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize("num_bytes", [0, 1, 65_000, 65_536, 65_537, 5_000_000])
def test_a_message_of_any_size_comes_whole_and_the_next_one_too(ends: tuple[Channel, Channel], num_bytes: int) -> None:
    picture = np.random.default_rng(num_bytes).integers(0, 256, num_bytes, dtype=np.uint8)
    ours, theirs = ends
    with ThreadPoolExecutor(1) as pool:
        for message in (picture.tobytes(), b"short", picture.tobytes()):
            sent = pool.submit(ours.send, message)
            assert theirs.receive() == message
            sent.result()


def test_an_array_can_be_written_to_at_the_other_end(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    ours.send(np.zeros(3))
    got = theirs.receive()
    got += 1.0
    assert got.tolist() == [1.0, 1.0, 1.0]


def test_who_waits_hears_when_the_other_end_has_gone(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ours.receive)
        theirs.close()
        with pytest.raises(EOFError):
            waiting.result()
    with pytest.raises(OSError, match="Broken pipe"):
        ours.send("anything")


def test_who_waits_can_be_told_to_stop_by_another_thread(ends: tuple[Channel, Channel]) -> None:
    ours, _ = ends
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ours.receive)
        ours.end()
        with pytest.raises(EOFError):
            waiting.result()


def test_nobody_waits_longer_than_patience() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = Channel(ours, patience_s=0.01)
        with pytest.raises(TimeoutError, match=r"nothing was said or taken for 0\.01 s"):
            channel.receive()
        with pytest.raises(TimeoutError):
            channel.send(bytes(50_000_000))


def test_who_is_heard_elsewhere_is_waited_for() -> None:
    looks = iter([math.inf] * 4)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = Channel(ours, patience_s=0.04, heard_s=lambda: next(looks, -math.inf))
        with pytest.raises(TimeoutError):
            channel.receive()
        assert next(looks, None) is None

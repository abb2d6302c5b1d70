"""Bits of H.264 and a clock that stands still, for the tests of WebRTC. No test in here."""

from __future__ import annotations

START = b"\x00\x00\x00\x01"
KEY, PLAIN = START + b"\x65\x88\x84\x00\x10", START + b"\x41\x9a\x02\x03\x04"
"""Slices whose first_mb_in_slice is 0: an IDR picture's, a P picture's."""
SPS = START + bytes.fromhex("6742c01fda014016e840000003004000000f03c60ca8")
PPS = START + bytes.fromhex("68ce3c80")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

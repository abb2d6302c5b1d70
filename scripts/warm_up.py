"""Compiles what is compiled once, at set-up (Numba, cached on disk), so that no live path ever waits for it."""

from __future__ import annotations

from stream.codec import effort, evidence
from stream.codec.h264.slice_data import parser
from stream.tokenizer import saliency

if __name__ == "__main__":
    effort.warm_up()
    evidence.warm_up()
    parser.warm_up()
    saliency.warm_up()

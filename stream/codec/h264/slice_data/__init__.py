"""Bits per macroblock, read from the slice data itself (H.264 7.3, 9): where the camera's encoder spent its effort.

Data flow: `parser` takes access units apart; `slice_header` and `layer` read slices and their macroblocks, `prediction` and `coefficients`
what a macroblock holds, `elements` the syntax elements, by `bits`, `vlc` (CAVLC), `arithmetic` and `arithmetic_block` (CABAC), with `grid`
for what neighbours say and `vectors` for motion. `reading` is what they pass on to each other; `tables` are the standard's.
"""

from stream.codec.h264.slice_data.frame import MacroblockFrame, SliceBits
from stream.codec.h264.slice_data.parser import MacroblockParser

__all__ = ["MacroblockFrame", "MacroblockParser", "SliceBits"]

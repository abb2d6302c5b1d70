"""Bits per macroblock, read from the slice data itself (H.264 7.3, 9): where the camera's encoder spent its effort.

Data flow: `parser` takes access units apart; `slice_header` and `layer` read slices, `elements` their syntax elements, by `bits`,
`vlc` (CAVLC) and `arithmetic` (CABAC), with `grid` for what neighbours say and `vectors` for motion; `tables` are the standard's.
"""

from stream.codec.macroblocks.frame import MacroblockFrame, SliceBits
from stream.codec.macroblocks.parser import MacroblockParser

__all__ = ["MacroblockFrame", "MacroblockParser", "SliceBits"]

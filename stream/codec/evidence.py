"""Evidence of one frame: where its encoder spent effort.

In: a decoded frame and the frame shown before it. Out: `FrameEvidence`, macroblock grids over the displayed picture. This is
the costly part, so it is called for candidate frames alone.

Shape letters: R = ceil(height / 16) and C = ceil(width / 16), macroblock rows and columns.
"""

from __future__ import annotations

import numpy as np

from stream.codec import motion, residual
from stream.codec import picture as pictures
from stream.codec.decode import DecodedFrame
from stream.units import FrameEvidence

_NO_VECTORS = np.zeros(0, motion.MOTION_VECTOR)
_NO_VECTORS.flags.writeable = False


def measure(frame: DecodedFrame, previous: DecodedFrame | None) -> FrameEvidence:
    """Grids of `frame`: motion from its vectors, residual against `previous` moved along them, change against it in place.

    A block without a vector into the past (intra, or another codec) is compared in place. Without a previous frame of the
    same size residual and change are zero. `bits` is None unless the decoder reads macroblocks and could.
    """
    vectors = frame.side_data()[1]
    now = frame.luma
    has_past = previous is not None and (previous.width, previous.height) == (frame.width, frame.height)
    then = previous.luma if previous is not None and has_past else now
    motion_RC, residual_RC, change_RC = residual.grids(
        _NO_VECTORS if vectors is None else vectors,
        now.levels,
        then.levels,
        (now.pitch, then.pitch),
        frame.width,
        frame.height,
        has_past,
    )
    macroblocks, (rows, columns) = frame.macroblocks(), motion_RC.shape
    return FrameEvidence(
        picture_type=frame.picture_type,
        motion_px=motion_RC,
        residual=residual_RC,
        change=change_RC,
        bits=macroblocks.bits[:rows, :columns].astype(np.float32) if macroblocks is not None else None,  # what is displayed
    )


def warm_up() -> None:
    """Compile (or load from the cache) everything that runs per frame, so that the first frame is as quick as the next."""
    motion.warm_up()
    residual.warm_up()
    pictures.warm_up()

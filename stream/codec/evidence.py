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
from stream.codec.picture import Picture
from stream.units import FrameEvidence

_NO_VECTORS = np.zeros(0, motion.MOTION_VECTOR)
_NO_VECTORS.flags.writeable = False


def measure(frame: DecodedFrame, previous: DecodedFrame | None) -> FrameEvidence:
    """Grids of `frame`: motion from its vectors, residual against `previous` moved along them, change against it in place.

    A block without a vector into the past (intra, or another codec) is compared in place. Without a previous frame of the
    same size residual and change are zero. `bits` and `levels` are None unless the decoder reads macroblocks and could.
    """
    mean_qp, vectors = frame.side_data()
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
        frame_id=frame.frame_id,
        media_s=frame.media_s,
        wall_s=frame.wall_s,
        picture_type=frame.picture_type,
        packet_bytes=frame.packet.size_bytes,
        mean_qp=mean_qp,
        motion_px=motion_RC,
        residual=residual_RC,
        change=change_RC,
        bits=_displayed(macroblocks.bits, rows, columns) if macroblocks is not None else None,
        levels=_displayed(macroblocks.levels, rows, columns) if macroblocks is not None else None,
        picture=Picture(frame.picture),
    )


def _displayed(grid: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The part of a grid of the coded picture that is displayed, float32."""
    return grid[:rows, :columns].astype(np.float32)


def warm_up() -> None:
    """Compile (or load from the cache) everything that runs per frame, so that the first frame is as quick as the next."""
    motion.warm_up()
    residual.warm_up()
    pictures.warm_up()

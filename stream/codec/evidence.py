"""Evidence of one frame: where its encoder spent effort.

In: a decoded frame and the frame shown before it. Out: `FrameEvidence`, macroblock grids over the displayed picture. This is
the costly part, so it is called for candidate frames alone.

Shape letters: R = ceil(height / 16) and C = ceil(width / 16), macroblock rows and columns.
"""

from __future__ import annotations

import numpy as np

from stream.codec import picture as pictures
from stream.codec import residual
from stream.codec.buffers import flat
from stream.codec.decode import DecodedFrame, side_data
from stream.codec.picture import Picture
from stream.units import FrameEvidence

_NO_VECTORS = np.zeros(0, residual.MOTION_VECTOR)
_NO_VECTORS.flags.writeable = False


def measure(frame: DecodedFrame, previous: DecodedFrame | None) -> FrameEvidence:
    """Grids of `frame`: motion from its vectors, residual against `previous` moved along them.

    A block without a vector into the past (intra, or another codec) is compared in place. Without a previous frame of the
    same size the residual is zero. `bits` is None until the slice parser exists.
    """
    rows = -(-frame.height // residual.MACROBLOCK_PX)
    columns = -(-frame.width // residual.MACROBLOCK_PX)
    field_x, field_y = np.zeros((2 * rows, 2 * columns), np.int32), np.zeros((2 * rows, 2 * columns), np.int32)
    source = np.zeros((2 * rows, 2 * columns), np.uint8)
    motion_RC, residual_RC = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    vectors = _vectors(frame)
    if len(vectors):
        residual.paint_vectors(vectors, field_x, field_y, source)
        residual.motion_grid(field_x, field_y, motion_RC)
    if previous is not None and (previous.width, previous.height) == (frame.width, frame.height):
        now, pitch = _luma(frame)
        then, pitch_then = _luma(previous)
        residual.keep_past(field_x, field_y, source)
        residual.residual_grid(now, then, (pitch, pitch_then), frame.width, frame.height, field_x, field_y, residual_RC)
    return FrameEvidence(
        frame_id=frame.frame_id,
        media_s=frame.media_s,
        wall_s=frame.wall_s,
        picture_type=frame.picture_type,
        packet_bytes=frame.packet.size_bytes,
        mean_qp=frame.mean_qp,
        motion_px=motion_RC,
        residual=residual_RC,
        bits=None,
        picture=Picture(frame.picture),
    )


def _vectors(frame: DecodedFrame) -> np.ndarray:
    side = side_data(frame.picture, "MOTION_VECTORS")
    return _NO_VECTORS if side is None else flat(side, residual.MOTION_VECTOR)


def _luma(frame: DecodedFrame) -> tuple[np.ndarray, int]:
    """Luma as flat read-only bytes and its line size; deeper pictures are brought to eight bits."""
    picture = frame.picture
    if picture.format.components[0].bits > 8 or not picture.format.is_planar:
        picture = picture.reformat(format="yuv420p")
    plane = picture.planes[0]
    return flat(plane), plane.line_size


def warm_up() -> None:
    """Compile (or load from the cache) everything that runs per frame, so that the first frame is as quick as the next."""
    residual.warm_up()
    pictures.warm_up()

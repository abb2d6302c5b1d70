"""Opening files and cameras with FFmpeg: the options, and errors that a person can act on.

In: an `Address` and a timeout. Out: an open container with a video track, or `SourceError`. FFmpeg's own texts carry the URL
with its password, so none of them is passed on.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

import av

from stream.errors import SourceError
from stream.sources.address import Address

_PROBE_S = 1.0
"""Media that FFmpeg may read to learn what a live stream holds; sizes come from its parameter sets anyway."""


def open_container(
    address: Address, timeout_s: float, monotonic: Callable[[], float] = time.monotonic
) -> av.container.InputContainer:
    """Open for reading. Blocks up to `timeout_s` (a listening source: for a publisher to come).

    Raises `SourceError`: unreachable, refused, wrong password, no such path, not a video, no video track.
    """
    failed: Exception | None = None
    started_s = monotonic()
    try:
        container = av.open(address.url, options=_options(address, timeout_s), timeout=timeout_s if address.is_live else None)
    except (av.FFmpegError, OSError, ValueError) as error:
        failed = error
    if failed is not None:
        if isinstance(failed, av.InvalidDataError) and address.is_live and monotonic() - started_s >= timeout_s:
            failed = TimeoutError()  # FFmpeg's RTSP demuxer words an interrupted read so
        raise SourceError(f"{address.shown}: {open_failure(address, failed, timeout_s)}")
    if not container.streams.video:
        container.close()
        raise SourceError(f"{address.shown}: expected a video track, found none; check the path or the camera's stream")
    return container


def _options(address: Address, timeout_s: float) -> dict[str, str]:
    if not address.is_live:
        return {}
    options = {
        "rtsp_transport": "tcp",
        "allowed_media_types": "video",
        "analyzeduration": str(int(_PROBE_S * 1e6)),
        "fpsprobesize": "0",
    }
    if address.kind == "listen":
        return {**options, "rtsp_flags": "listen", "listen_timeout": str(max(1, int(timeout_s)))}
    return {**options, "timeout": str(int(timeout_s * 1e6))}


def open_failure(address: Address, error: Exception, timeout_s: float) -> str:
    """What went wrong, in words; the URL is left to the caller."""
    number = getattr(error, "errno", None)
    if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
        return "the camera refused the user or password; check both in the camera's URL"
    if isinstance(error, av.HTTPNotFoundError):
        return "the camera answers, but has no such path (404); check the path of the URL"
    if isinstance(error, av.HTTPError | av.HTTPClientError):
        return f"the camera refused the request ({error.strerror}); it may have no video track at this path"
    if isinstance(error, av.InvalidDataError | av.EOFError):
        if address.is_live:
            return "expected a video track, found none that can be read; check the path or the camera's stream"
        return "expected a video file, got something that FFmpeg cannot read (not a video, or cut off before its index)"
    if isinstance(error, FileNotFoundError) and not address.is_live:
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "expected a file, got a directory"
    if isinstance(error, PermissionError):
        return "permission denied"
    if number == errno.EADDRINUSE:
        return "the port to listen on is in use; choose another"
    if is_timeout(error):
        what = "no publisher came" if address.kind == "listen" else "no answer"
        return f"{what} within {timeout_s:g} s (timeout_s)"
    if number == errno.ECONNREFUSED:
        return "connection refused; check the address and port, and that the camera is on"
    return f"cannot be reached ({getattr(error, 'strerror', None) or type(error).__name__})"


def is_timeout(error: Exception) -> bool:
    """True for the several ways in which FFmpeg and PyAV say that time ran out."""
    return isinstance(error, TimeoutError | av.ExitError) or getattr(error, "errno", None) == errno.ETIMEDOUT

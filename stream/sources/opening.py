"""Opening files and cameras with FFmpeg: the options, and errors that a person can act on.

In: an `Address` and `OpenOptions`. Out: an open container with a video track, or `SourceError`. FFmpeg's own texts carry the URL
with its password, so none of them is passed on. FFmpeg gets, per kind, the only protocols and formats that it may use: nothing that a
camera, a playlist or a file says can make it open a file or another kind of connection.
"""

from __future__ import annotations

import errno
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple

import av

from stream.errors import SourceError, TooLargeError
from stream.sources.address import Address
from stream.sources.options import OpenOptions
from stream.sources.policy import SourcePolicy
from stream.sources.web import Fetcher, tls_context

_PROBE_S = 1.0
"""Media that FFmpeg may read to learn what a live stream holds; sizes come from its parameter sets anyway."""
_PROBE_BYTES = 1 << 20
"""Bytes that it may read of an answer or transport stream for the same."""
_ONE_FILE = "mov,matroska,webm,mpegts,mpeg,avi,flv,asf,mxf,nut,ogg,ivf,obu,h264,hevc,mjpeg,mpjpeg,mpegvideo,m4v,wav,mp3,aac,image2,jpeg_pipe"
"""Formats that hold everything themselves: playlists, concatenations and session descriptions, which name other files, are not here."""
_STREAMED = "mpegts,flv,matroska,webm,mov,mpjpeg,mjpeg,h264,hevc,ivf,obu"
"""What may come as one answer that has no end."""
_RTSP_PROTOCOLS = {"auto": "tcp,rtp,udp", "tcp": "tcp", "udp": "tcp,rtp,udp", "http": "tcp,http"}
"""`rtsp` itself is not among them: FFmpeg asks for it when a camera redirects, which it then refuses, to whatever address."""
_RTSPS_PROTOCOLS = {"auto": "tcp,tls,rtp,udp", "tcp": "tcp,tls", "udp": "tcp,tls,rtp,udp", "http": "tcp,tls,https"}
_AUTO = {"rtsp_transport": "tcp+udp", "rtsp_flags": "prefer_tcp"}
_SRT_MISSING = (
    "SRT is not in the FFmpeg of the installed PyAV; install one built with libsrt, or let the sender use RTSP or udp://"
)


class Opened(NamedTuple):
    """An open container, and what carries its bytes where FFmpeg does not."""

    container: av.container.InputContainer
    fetcher: Fetcher | None = None

    def picture_came(self) -> None:
        if self.fetcher is not None:
            self.fetcher.intake.picture_came()

    def close(self) -> None:
        self.container.close()
        if self.fetcher is not None:
            self.fetcher.close()


def open_container(
    address: Address,
    options: OpenOptions,
    policy: SourcePolicy | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Opened:
    """Open for reading. Blocks up to `timeout_s` (a listening source: for a publisher to come).

    Raises `SourceError`: unreachable, refused, wrong password, no such path, not a video, no video track.
    """
    if address.kind in ("whip", "replay"):
        raise SourceError(f"{address.shown}: {address.kind} is not read by FFmpeg; `ov2 serve` opens it as a camera")
    fetcher = Fetcher(address, options, policy or SourcePolicy()) if address.kind in ("hls", "http") else None
    try:
        opened = Opened(_open(address, options, fetcher, monotonic), fetcher)
    except SourceError:
        if fetcher is not None:
            fetcher.close()
        raise
    if fetcher is not None:
        fetcher.settle(options.longest_wait_s)
    if not opened.container.streams.video:
        opened.close()
        raise SourceError(f"{address.shown}: expected a video track, found none; check the path or the camera's stream")
    return opened


def _open(
    address: Address, options: OpenOptions, fetcher: Fetcher | None, monotonic: Callable[[], float]
) -> av.container.InputContainer:
    started_s = monotonic()
    try:
        return av.open(
            f"file:{address.target}" if address.kind == "file" else address.target,
            format=_FORMAT.get(address.kind),
            options=_options(address, options),
            timeout=(options.timeout_s, options.longest_wait_s) if address.is_live else None,
            io_open=fetcher,
        )
    except MemoryError as error:
        raise out_of_memory(address, options, error) from None
    except (av.FFmpegError, OSError, ValueError) as error:
        failed: Exception = error
    if isinstance(failed, av.InvalidDataError) and address.is_live and monotonic() - started_s >= options.timeout_s:
        failed = TimeoutError()  # FFmpeg's RTSP demuxer words an interrupted read so
    raise SourceError(f"{address.shown}: {open_failure(address, failed, options)}")


_FORMAT = {"hls": "hls", "mpegts": "mpegts"}


def _options(address: Address, options: OpenOptions) -> dict[str, str]:
    if address.kind == "file":
        return {"protocol_whitelist": "file", "format_whitelist": _ONE_FILE}
    brief = {"analyzeduration": str(int(_PROBE_S * 1e6)), "fpsprobesize": "0"}
    if options.low_latency:
        brief |= {"max_delay": "0", "reorder_queue_size": "0"}
    match address.kind:
        case "hls":
            return {
                "http_persistent": "0",
                "http_multiple": "0",
                "protocol_whitelist": "none",
                "format_whitelist": f"hls,{_STREAMED}",
            }
        case "http":
            return {**brief, "probesize": str(_PROBE_BYTES), "protocol_whitelist": "none", "format_whitelist": _STREAMED}
        case "mpegts":
            waits = {} if address.scheme == "udp" else _socket_timeout(options)
            return {**brief, **waits, "protocol_whitelist": address.scheme, "format_whitelist": "mpegts"}
        case "srt":
            return {**brief, "protocol_whitelist": "srt", "format_whitelist": "mpegts"}
        case _:
            return {**brief, **_rtsp_options(address, options)}


def _rtsp_options(address: Address, options: OpenOptions) -> dict[str, str]:
    found = {"allowed_media_types": "video", "format_whitelist": "rtsp"}
    if address.kind == "listen":
        listening = {"rtsp_flags": "listen", "listen_timeout": str(max(1, int(options.timeout_s)))}
        return {**found, **listening, "rtsp_transport": "tcp", "protocol_whitelist": "tcp"}
    found |= _AUTO if options.transport == "auto" else {"rtsp_transport": options.transport}
    if address.scheme == "rtsps":
        found |= _trust(options)
    protocols = _RTSPS_PROTOCOLS if address.scheme == "rtsps" else _RTSP_PROTOCOLS
    return {**found, **_socket_timeout(options), "protocol_whitelist": protocols[options.transport]}


def _socket_timeout(options: OpenOptions) -> dict[str, str]:
    """FFmpeg's own, which holds for opening and reading alike; a camera that may be silent for ever has none."""
    wait_s = options.longest_wait_s
    return {} if wait_s is None else {"timeout": str(int(max(options.timeout_s, wait_s) * 1e6))}


def _trust(options: OpenOptions) -> dict[str, str]:
    if not options.tls_verify:
        return {"tls_verify": "0"}
    tls_context(options)  # which looks at the file; FFmpeg would not say what is wrong with it
    authorities = str(options.tls_ca_file) if options.tls_ca_file else ssl.get_default_verify_paths().cafile
    return {"tls_verify": "1", **({"ca_file": authorities} if authorities else {})}


def out_of_memory(address: Address, options: OpenOptions, error: MemoryError) -> TooLargeError:
    """What a refused allocation means: of FFmpeg, reading a camera, a block larger than any access unit (guard.py); else that no memory is
    left."""
    is_block = isinstance(error, av.FFmpegError) and address.is_live
    return (options.limits.large_unit() if is_block else options.limits.out_of_memory()).at(address.shown)


def open_failure(address: Address, error: Exception, options: OpenOptions) -> str:
    """What went wrong, in words; the URL is left to the caller."""
    number = getattr(error, "errno", None)
    if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
        return "the camera refused the user or password; check both in the camera's URL"
    if isinstance(error, av.HTTPNotFoundError):
        return "the camera answers, but has no such path (404); check the path of the URL"
    if isinstance(error, av.HTTPError | av.HTTPClientError):
        return f"the camera refused the request ({error.strerror}); it may have no video track at this path"
    if isinstance(error, av.ProtocolNotFoundError) and address.kind == "srt":
        return _SRT_MISSING
    if isinstance(error, av.ArgumentError) and address.kind == "pull":
        return "the camera sends us to another address, which is not followed (write that one as its URL), or answers nonsense"
    if isinstance(error, av.InvalidDataError | av.EOFError | av.ArgumentError):  # the last: a format that is not on the list
        if address.is_live:
            return "expected a video track, found none that can be read; check the path or the camera's stream"
        return "expected a video file, got something that FFmpeg cannot read (not a video, or cut off before its index)"
    if number == errno.EPROTONOSUPPORT:
        return f"the camera does not send over {options.transport}; set transport: auto"
    if number == errno.EIO and address.scheme == "rtsps":
        return (
            "no TLS connection: its certificate is not one that this machine trusts (set tls_ca_file to its authority, "
            "or tls_verify: false), or it speaks plain rtsp:// at this port"
        )
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
        return f"{what} within {options.timeout_s:g} s (timeout_s)"
    if number == errno.ECONNREFUSED:
        return "connection refused; check the address and port, and that the camera is on"
    return f"cannot be reached ({getattr(error, 'strerror', None) or type(error).__name__})"


def is_timeout(error: Exception) -> bool:
    """True for the several ways in which FFmpeg and PyAV say that time ran out."""
    return isinstance(error, TimeoutError | av.ExitError) or getattr(error, "errno", None) == errno.ETIMEDOUT

"""A camera that pushes: `python -m ov2_bench.chaos.publisher FILM URL`.

Plays the film without end to a listening RTSP server over TCP, at its own pace, and tries again for ever when nobody listens or the
other side leaves. A process of its own: PyAV keeps the interpreter's lock while it writes. It ends when its standard input closes.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

RETRY_S = 0.5
log = logging.getLogger(__name__)


def push(path: str, url: str) -> None:
    """Announce, and send until the other side has gone: `OSError` or another of FFmpeg's errors."""
    import av

    with av.open(path) as film:
        track = film.streams.video[0]
        packets = [(packet, packet.pts or 0, packet.dts) for packet in film.demux(track) if packet.dts is not None]
        assert track.time_base is not None, f"{path}: expected a film with a time base"
        assert track.average_rate, f"{path}: expected a film with a frame rate"
        step = round(1 / track.average_rate / track.time_base)
        with av.open(url, "w", format="rtsp", options={"rtsp_transport": "tcp"}) as out:
            stream = out.add_stream_from_template(track)
            began_s = time.monotonic()
            loop = 0
            while True:
                for packet, pts, dts in packets:
                    late = loop * step * len(packets)
                    due_s = began_s + float((late + dts) * track.time_base)
                    time.sleep(max(0.0, due_s - time.monotonic()))
                    packet.stream, packet.pts, packet.dts, packet.time_base = stream, pts + late, dts + late, track.time_base
                    out.mux(packet)
                loop += 1


def main() -> None:
    import av

    path, url = sys.argv[1:]
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    while True:
        try:
            push(path, url)
        except (OSError, av.FFmpegError) as error:
            log.debug("%s: %s", url, error)
        time.sleep(RETRY_S)


if __name__ == "__main__":
    main()

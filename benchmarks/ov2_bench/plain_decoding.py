"""Decoding and nothing else, of the same streams: `python -m ov2_bench.plain_decoding SECONDS URL ...`

Every URL is opened with PyAV, read and decoded in a thread of its own, on one decoder thread. Prints one JSON object: CPU seconds spent
in SECONDS of wall time after the last has opened, and the frames decoded meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

OPEN_S = 30.0
_OPTIONS = {"rtsp_transport": "tcp", "analyzeduration": "1000000", "fpsprobesize": "0"}


class Decoding(threading.Thread):
    """`frames` so far; `opened` once the first came."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.frames = 0
        self.opened = threading.Event()
        self._url = url

    def run(self) -> None:
        import av

        with av.open(self._url, options=_OPTIONS, timeout=OPEN_S) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            stream.codec_context.thread_type = "NONE"
            for _ in container.decode(stream):
                self.frames += 1
                self.opened.set()


def main() -> None:
    seconds, urls = float(sys.argv[1]), sys.argv[2:]
    threads = [Decoding(url) for url in urls]
    for thread in threads:
        thread.start()
    if not all(thread.opened.wait(OPEN_S) for thread in threads):
        sys.exit(f"expected a picture of every stream within {OPEN_S:.0f} s")
    frames, spent_s = sum(thread.frames for thread in threads), time.process_time()
    time.sleep(seconds)
    spent_s, frames = time.process_time() - spent_s, sum(thread.frames for thread in threads) - frames
    print(json.dumps({"cpu_s": spent_s, "frames": frames}), flush=True)
    os._exit(0)  # the threads wait in reads


if __name__ == "__main__":
    main()

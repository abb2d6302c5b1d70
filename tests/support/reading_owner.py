"""Owner of one reader process: `python reading_owner.py URL [LIMITS]`, LIMITS a JSON object of `IngestLimits`.

Reads until the first error, or the end of a file, and prints what became of it as one JSON line: `error`, `skipped`, `num_packets`, and
`peak_mib`, the most memory that its reader ever had.
"""

from __future__ import annotations

import json
import resource
import sys

from supervised import reader, supervised
from waiting import until

from stream.sources import Backoff
from stream.sources.limits import IngestLimits
from stream.sources.options import OpenOptions
from stream.sources.readerprocess import FORKER

LONG_S = 3600.0
"""One attempt is enough."""


def main() -> None:
    url, limits = sys.argv[1], IngestLimits(**json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}"))
    once = Backoff(first_s=LONG_S, longest_s=LONG_S, uniform=lambda low, high: high)
    connector = reader(url, options=OpenOptions(limits=limits))
    with supervised(url, connector=connector, backoff=once, stale_s=LONG_S) as camera:
        until(lambda: camera.last_error or not camera._thread.is_alive())
    FORKER.end()  # what it waited for counts as ours
    told = {"error": camera.last_error, "skipped": dict(camera.skipped), "num_packets": camera.num_packets}
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(json.dumps({**told, "peak_mib": peak_mib}))


if __name__ == "__main__":
    main()

"""What of the data folder was found damaged since the start.

In: the parts that read it. Out: counts by kind, for `/v1/status`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from stream.camera.camera import Camera
from stream.serve.alerts import Alerts
from stream.serve.delivery import Delivery
from stream.serve.watches import WatchKeeper


def found_damaged(delivery: Delivery, watches: WatchKeeper, alerts: Alerts, cameras: Iterable[Camera]) -> dict[str, int]:
    journal = delivery.writer.journal.damage
    drops: Counter[str] = sum((camera.feed.drops() for camera in cameras), Counter())
    return {
        "journal_entries": journal.num_rows + journal.num_lost,
        "journal_files": journal.num_recovered,
        "watch_files": watches.num_damaged,
        "snapshots": alerts.snapshots.num_damaged,
        "memory": drops["memory_damaged"],
        "packets": drops["log_damaged"],
    }

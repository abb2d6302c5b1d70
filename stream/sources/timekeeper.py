"""The times of one camera, over all its connections.

In: `Sample`s in decode order, with whatever times the sender gave. Out: `Packet`s whose media time never steps back and whose wall time
is that of the picture. The same samples give the same packets: no clock is read here.
"""

from __future__ import annotations

from stream.sources.mediaclock import MediaClock
from stream.sources.sample import Sample
from stream.sources.wallclock import WallClock
from stream.units import Packet


class Timekeeper:
    """`packet` for every sample; `reconnect` between two connections. `media_clock` and `wall_clock` tell what was repaired."""

    def __init__(self, wall_clock: WallClock, media_clock: MediaClock | None = None) -> None:
        self.wall_clock = wall_clock
        self.media_clock = media_clock or MediaClock()
        self._num_rates = self.media_clock.num_rates

    def reconnect(self, elapsed_s: float) -> None:
        """The next sample comes from a new connection, `elapsed_s` after the last one."""
        self.media_clock.reconnect(elapsed_s)
        self.wall_clock.restart()

    def packet(self, sample: Sample) -> Packet:
        pts, dts, time_base = sample.pts, sample.dts, sample.time_base
        arrival_s = sample.arrival_s if self.wall_clock.is_live else None
        moment = self.media_clock.moment(pts if pts is not None else dts, time_base, arrival_s)
        wall_s = self.wall_clock.wall_s(moment.pts_s, sample.arrival_s, sample.reported_s)
        if self.media_clock.num_rates != self._num_rates:
            self._num_rates = self.media_clock.num_rates
            self.wall_clock.restart()
        return Packet(
            data=sample.data,
            pts=pts if pts is not None else round(moment.pts_s / time_base),
            dts=dts,
            time_base=time_base,
            pts_s=moment.pts_s,
            media_s=moment.media_s,
            wall_s=wall_s,
            is_key=sample.is_key,
            codec=sample.codec,
            size_bytes=sample.size_bytes,
            width=sample.width,
            height=sample.height,
            discontinuity=moment.discontinuity or sample.breaks,
        )

"""From a camera's settings to its way in.

In: the settings, what may be opened. Out: the `Connector` and the `Timekeeper` that fit the kind of address.
"""

from __future__ import annotations

from collections.abc import Callable

from stream.config.configuration import CameraSettings
from stream.errors import SourceError
from stream.packetlog.connect import AsRecorded, ReplayConnector, parse_replay
from stream.sources.address import Address
from stream.sources.connection import Connection, Connector
from stream.sources.limits import IngestLimits
from stream.sources.options import OpenOptions
from stream.sources.policy import SourcePolicy
from stream.sources.readerprocess import ReaderConnector
from stream.sources.timekeeper import Timekeeper
from stream.sources.wallclock import Live, Recorded


class Forbidden:
    """A connector to what may not be opened: says so."""

    waits = False
    ends = True

    def __init__(self, error: SourceError) -> None:
        self._error = error

    def connect(self) -> Connection:
        raise self._error

    def close(self) -> None:
        return


def connector_for(
    address: Address,
    settings: CameraSettings,
    policy: SourcePolicy,
    *,
    limits: IngestLimits,
    door: Connector | None,
    clock: Callable[[], float],
) -> Connector:
    """`door`: where publishers come to a camera of `url: whip`. What is read by a reader process is checked there, at every attempt."""
    if door is not None:
        return door
    if address.kind == "replay":
        try:
            policy.check(address)
        except SourceError as error:
            return Forbidden(error)
        return ReplayConnector(parse_replay(settings.url), clock=clock)
    options = OpenOptions(
        stale_s=None,  # silence is the supervisor's to judge
        transport=settings.transport,
        tls_verify=settings.tls_verify,
        tls_ca_file=settings.tls_ca_file,
        low_latency=settings.low_latency,
        paced=settings.paced,
        loop=settings.loop,
        limits=limits,
    )
    order = {"options": options, "policy": policy, "listen": address.kind == "listen"}
    return ReaderConnector(address, order, timeout_s=settings.timeout_s)


def timekeeper_for(address: Address, settings: CameraSettings, clock: Callable[[], float]) -> Timekeeper:
    if address.kind == "replay":
        return AsRecorded(parse_replay(settings.url).wall)
    return Timekeeper(Live() if address.is_live else Recorded(clock()))


def can_wait(address: Address, settings: CameraSettings) -> bool:
    """Whether the source gives packets as fast as they are taken."""
    if address.kind == "replay":
        return parse_replay(settings.url).speed == 0
    return not (address.is_live or settings.paced)

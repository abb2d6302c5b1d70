"""One source recorded without a tokenizer: what `ov2 record` runs.

In: a URL and a folder. Out: a packet log that goes on through every reconnect, until told to stop or the source ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from stream.errors import StreamError
from stream.packetlog.settings import PacketLogSettings
from stream.packetlog.writer import PacketLogWriter
from stream.sources import CameraState, Mailbox, StateMachine, Supervisor, open_source, parse_address
from stream.sources.limits import IngestLimits
from stream.sources.options import OpenOptions
from stream.sources.readerprocess import ReaderConnector
from stream.sources.timekeeper import Timekeeper
from stream.sources.wallclock import Live
from stream.units import Packet

STALE_S = 10.0
"""Silence after which a camera is opened again."""
REPLAYED = {"preset": "activity"}
"""Tokenizer settings of a replay that is given no others. Recordings without a word on it are older, and are replayed as published."""
JOIN_S = 2.0
"""Longest wait for a camera that does not let go."""


class Recording:
    """`start`, then `join`; `end` from any thread makes it come to its end. `seconds`: of media, after which it ends by itself
    (a camera that does not come is waited for so long, and `timeout_s`).

    `latest` is the newest packet, `error` (redacted) why nothing comes; both may be read from any thread. Raises `SourceError` for a URL of
    a kind that we do not read, `PacketLogError` for a folder that cannot be written.
    """

    def __init__(
        self,
        name: str,
        url: str,
        folder: Path,
        settings: PacketLogSettings,
        *,
        listen: bool = False,
        timeout_s: float = 10.0,
        seconds: float | None = None,
        limits: IngestLimits | None = None,
    ) -> None:
        self.name = name
        self.address = parse_address(url, listen=listen)
        self.latest: Packet | None = None
        self._failed: str | None = None
        self._seconds = seconds
        self._timeout_s = timeout_s
        self._options = OpenOptions(stale_s=STALE_S, limits=limits or IngestLimits())
        self._mailbox = Mailbox(f"recording {name}")
        self._supervisor = self._supervised(timeout_s) if self.address.is_live else None
        self.writer = PacketLogWriter(folder, settings, camera=name, tokenizer=REPLAYED)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"recording {name}", daemon=True)

    @property
    def error(self) -> str | None:
        return self._failed or (self._supervisor.last_error if self._supervisor is not None else None)

    @property
    def is_done(self) -> bool:
        return self._thread.ident is not None and not self._thread.is_alive()

    def start(self) -> None:
        if self._supervisor is not None:
            self._supervisor.start()
        self._thread.start()

    def end(self) -> None:
        """Returns at once."""
        self._ending.set()
        if self._supervisor is not None:
            self._supervisor.stop()
        self._mailbox.close()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until everything is on the disk; True when it is."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def drops(self) -> dict[str, int]:
        """Packets that are not in the log, by reason."""
        return dict(self.writer.drops) | ({"mailbox": self._mailbox.num_dropped} if self._mailbox.num_dropped else {})

    def _supervised(self, timeout_s: float) -> Supervisor:
        order = {"options": self._options, "listen": self.address.kind == "listen"}
        return Supervisor(
            ReaderConnector(self.address, order, timeout_s=timeout_s),
            self._mailbox,
            Timekeeper(Live()),
            StateMachine(CameraState.CONNECTING),
            name=f"recording {self.name}",
            stale_s=STALE_S,
        )

    def _run(self) -> None:
        try:
            with closing(self._packets()) as packets:
                first_s: float | None = None
                for packet in packets:
                    first_s = packet.media_s if first_s is None else first_s
                    if self._ending.is_set() or (self._seconds is not None and packet.media_s - first_s >= self._seconds):
                        break
                    self.writer.put(packet)
                    self.latest = packet
        except StreamError as error:
            self._failed = str(error)
        finally:
            self.end()
            self.writer.close()
            if self._supervisor is not None:
                self._supervisor.join(JOIN_S)

    def _packets(self) -> Generator[Packet]:
        if self._supervisor is None:
            with open_source(self.address.url, options=self._options) as source:
                for packet in source:
                    self.writer.wait_for_room(packet)
                    yield packet
            return
        patience_s = None if self._seconds is None else self._seconds + self._timeout_s
        deadline_s = None if patience_s is None else time.monotonic() + patience_s
        while True:
            try:
                taken = self._mailbox.get(None if deadline_s is None else max(0.0, deadline_s - time.monotonic()))
            except TimeoutError:
                return  # a camera that does not come, or stalls, does not stretch the time that was asked for
            if taken is None:
                return
            yield taken

"""The thread that keeps one camera's packets coming, whatever happens to the camera.

In: a `Connector`. Out: `Packet`s in a `Mailbox`, closed at the end; the camera's state with its reason. A file is read once; a camera that
leaves, breaks or falls silent is connected again, with growing pauses, and its time goes on across the break.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from stream.backoff import Backoff
from stream.errors import SourceError, StreamError, TooLargeError
from stream.sources.connection import Connection, Connector
from stream.sources.mailbox import Mailbox
from stream.sources.states import CameraState, StateMachine
from stream.sources.timekeeper import Timekeeper
from stream.sources.wallclock import Live

log = logging.getLogger(__name__)

ROOM_S = 0.5
"""How often a file's reader that waits for room looks whether it was stopped."""
PAUSE_SHARE = 4.0
"""A pause of this many times the longest usual one is a stall."""
LEAST_STALL_S = 2.0
FORGETS = 0.98
"""The longest usual pause shrinks by this factor with each packet, so that one bad moment is not remembered for ever."""


class Patience:
    """How long to wait for the next packet of a camera, learnt from its own rhythm.

    `stale_s`: silence after which the camera is opened again; None for cameras that send when something happens, and may be silent for days.
    """

    def __init__(self, stale_s: float | None) -> None:
        self.stale_s = stale_s
        self._usual_s = 0.0

    def seen(self, pause_s: float) -> None:
        self._usual_s = max(FORGETS * self._usual_s, pause_s)

    @property
    def stall_s(self) -> float | None:
        """Silence that counts as a stall: never more than half of what makes it stale."""
        if self.stale_s is None:
            return None
        return min(0.5 * self.stale_s, max(LEAST_STALL_S, PAUSE_SHARE * self._usual_s))


class Supervisor:
    """`start`, then `stop` and `join`. The reader takes packets from `mailbox` until it gives None.

    `states` (shared with the camera, which tells when it is degraded); `last_error` (redacted; None while all is well); `num_packets`;
    `num_connections`; `skipped` may be read from any thread.
    """

    def __init__(
        self,
        connector: Connector,
        mailbox: Mailbox,
        timekeeper: Timekeeper,
        states: StateMachine,
        *,
        name: str,
        stale_s: float | None = 10.0,
        backoff: Backoff | None = None,
        can_wait: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.mailbox = mailbox
        self.states = states
        self.last_error: str | None = None
        self.num_packets = 0
        self.num_connections = 0
        self.backoff = backoff or Backoff()
        self._name = name
        self._connector = connector
        self._timekeeper = timekeeper
        self._stale_s = stale_s
        self._can_wait = can_wait
        self._monotonic = monotonic
        self._last_packet_s: float | None = None
        self._skipped: Counter[str] = Counter()
        self._connection: Connection | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"supervisor {name}", daemon=True)

    @property
    def skipped(self) -> Counter[str]:
        """What came and was no whole picture, by reason, over all connections."""
        connection = self._connection
        return self._skipped + connection.skipped if connection is not None else Counter(self._skipped)

    @property
    def clock_problem(self) -> str:
        """What is wrong with the camera's clock; empty while nothing is known to be."""
        clock = self._timekeeper.wall_clock
        if not isinstance(clock, Live) or not clock.clock_wrong:
            return ""
        return f"the camera's clock is {clock.clock_offset_s:+.0f} s off; times are those of arrival"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; returns at once."""
        self._stopping.set()

    def join(self, timeout_s: float | None = None) -> bool:
        """Close the connection and wait for the thread to end; True when it has."""
        self.stop()
        self._connector.close()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                pause = self._attempt()
                if self._connector.ends or self._stopping.is_set():
                    break
                if pause:
                    self._pause()
                self.states.to(CameraState.CONNECTING, self._waiting_for())
        finally:
            self._connector.close()
            self.mailbox.close()

    def _attempt(self) -> bool:
        """One connection, from opening to its end. True when a pause should follow."""
        try:
            connection = self._connector.connect()
        except TimeoutError:
            self.states.move(CameraState.CONNECTING, CameraState.CONNECTING, self._waiting_for())
            return False
        except StreamError as error:
            self._count(error)
            self._down(str(error))
            return True
        began_s = self._monotonic()
        num_before = self.num_packets
        self.num_connections += 1
        if self._last_packet_s is not None:
            self._timekeeper.reconnect(began_s - self._last_packet_s)
        self._connection = connection
        was_too_large = False
        try:
            self._carry(connection)
            self._down(None)
        except StreamError as error:
            was_too_large = self._count(error)
            self._down(str(error))
        finally:
            connection.close()
            self._skipped, self._connection = self.skipped, None
        if self.num_packets > num_before:
            self.backoff.lasted(self._monotonic() - began_s)
        return was_too_large or not self._connector.waits

    def _count(self, error: StreamError) -> bool:
        """True for more than is taken; who sends that is not waited for at once, as other publishers are."""
        if not isinstance(error, TooLargeError):
            return False
        self._skipped = self._skipped + Counter([error.reason])
        return True

    def _carry(self, connection: Connection) -> None:
        """Samples to packets, until the stream ends. Raises `SourceError` when it broke or fell silent."""
        patience = Patience(self._stale_s)
        heard_s = self._monotonic()
        while not self._stopping.is_set():
            silent_s = self._monotonic() - heard_s
            try:
                sample = connection.get(self._longest_wait_s(patience, silent_s))
            except TimeoutError:
                self._silent(patience, self._monotonic() - heard_s)
                continue
            if sample is None:
                return
            now_s = self._monotonic()
            patience.seen(now_s - heard_s)
            heard_s = self._last_packet_s = now_s
            packet = self._timekeeper.packet(sample)
            self.num_packets += 1
            self._put_room()
            self.mailbox.put(packet)
            if not self.states.is_flowing and self._flows():
                self.last_error = None
                log.info("%s: live, %s %dx%d", self._name, packet.codec, packet.width, packet.height)

    def _flows(self) -> bool:
        """To live, unless the camera was told to stop meanwhile, and is offline."""
        return any(self.states.move(before, CameraState.LIVE) for before in (CameraState.CONNECTING, CameraState.STALLED))

    def _put_room(self) -> None:
        while self._can_wait and not self._stopping.is_set() and not self.mailbox.wait_for_room(ROOM_S):
            pass

    def _longest_wait_s(self, patience: Patience, silent_s: float) -> float | None:
        """Until the next thing that silence would change."""
        if patience.stale_s is None or patience.stall_s is None:
            return None
        if self.states.is_flowing and silent_s < patience.stall_s:
            return patience.stall_s - silent_s
        return max(0.0, patience.stale_s - silent_s)

    def _silent(self, patience: Patience, silent_s: float) -> None:
        assert patience.stale_s is not None
        if silent_s >= patience.stale_s:
            raise SourceError(f"no packet within {patience.stale_s:g} s (stale_s)")
        if self.states.is_flowing:
            self.states.to(CameraState.STALLED, f"no packet for {silent_s:.1f} s")

    def _down(self, error: str | None) -> None:
        """Not connected any more. A file that ends is left to the reader of the mailbox, who is not through with it yet."""
        if self._stopping.is_set():
            return
        self.last_error = error
        if error is not None:
            log.warning("%s: %s", self._name, error)
        else:
            log.info("%s: the stream ended", self._name)
        if not self._connector.ends:
            self.states.to(CameraState.OFFLINE, error or "the camera ended the stream")

    def _pause(self) -> None:
        pause_s = self.backoff.pause_s()
        self.states.to(CameraState.OFFLINE, f"{self.states.reason}; next attempt in {pause_s:.1f} s")
        self._stopping.wait(pause_s)

    def _waiting_for(self) -> str:
        if self._connector.waits:
            return f"waiting for a publisher; {self.last_error}" if self.last_error else "waiting for a publisher"
        return f"attempt {self.backoff.num_attempts + 1}; {self.last_error}" if self.last_error else ""

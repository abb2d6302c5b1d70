"""One camera: its packets tokenized and watched for boundaries, its state told.

In: its settings. Out: packets into its `Feed`, changes of boundary events, a state with a reason. The pump's thread reads and
reconnects; this one takes packets from the mailbox between them. What goes wrong here touches no other camera.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable

from stream.codec.macroblocks import MacroblockParser
from stream.events.boundary import BoundaryDetector, BoundarySettings
from stream.events.event import Change
from stream.serve.config import CameraSettings
from stream.serve.feed import Feed
from stream.serve.rate import Rate
from stream.serve.states import CameraState, StateMachine
from stream.serve.timeline import History
from stream.serve.wire import CameraStatus, CameraTimeline
from stream.sources import Mailbox, PacketPump, PumpState, redact
from stream.units import Packet

POLL_S = 0.25
"""How often the thread of a silent camera looks at its pump."""
JOIN_S = 2.0
"""Longest wait for each thread when stopping; one that hangs in an open dies with the process."""

log = logging.getLogger(__name__)


class Camera:
    """`start()`, then `end()` and `join()`. `on_event` and `on_state` are called from the camera's thread.

    Raises `SourceError` for a URL of a kind that we do not read."""

    def __init__(
        self,
        name: str,
        settings: CameraSettings,
        feed: Feed,
        *,
        on_event: Callable[[Change], None] = lambda change: None,
        on_state: Callable[[Camera], None] = lambda camera: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.num_frames = 0
        self.history = History()
        initial = CameraState.CONNECTING if settings.enabled else CameraState.DISABLED
        self.states = StateMachine(initial, on_change=lambda state: on_state(self), clock=clock)
        self.feed = feed
        self._on_event = on_event
        self._clock = clock
        self._mailbox = Mailbox(f"camera {name}", max_packets=settings.mailbox_packets)
        self._pump = PacketPump(
            settings.url,
            self._mailbox,
            name=f"camera {name}",
            listen=settings.listen,
            paced=settings.paced,
            timeout_s=settings.timeout_s,
            clock=clock,
        )
        alert = settings.boundary
        limits = BoundarySettings(onset=alert.onset, calm_s=alert.calm_s, refractory_s=alert.refractory_s)
        self._boundary = BoundaryDetector(name, limits, clock=clock) if alert.enabled else None
        self._macroblocks = MacroblockParser() if alert.enabled else None
        self._rate = Rate()
        self._errors: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._main, name=f"camera-{name}", daemon=True)

    def start(self) -> None:
        if self.states.state is not CameraState.DISABLED:
            self._pump.start()
            self._thread.start()

    def end(self) -> None:
        """Ask the threads to stop; `join` waits for them."""
        self._pump.stop()
        self._mailbox.close()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._pump.join(JOIN_S)
            self._thread.join(JOIN_S)

    def status(self) -> CameraStatus:
        return CameraStatus(
            name=self.name,
            state=self.states.state.value,
            reason=self.states.reason,
            groups=self.feed.num_groups,
            frames=self.num_frames,
            frame_age_ms=self._age_ms(),
            reconnects=max(0, self._pump.num_connections - 1),
            drops=self._drops(),
        )

    def figures(self) -> dict[str, float | None]:
        """What the `<camera>/state` topic tells."""
        return {"fps": round(self._rate.per_s(), 2), **self.feed.figures(), "frame_age_ms": self._age_ms()}

    def timeline(self) -> CameraTimeline:
        """The last minutes: costs, cuts, figures."""
        history = self.history
        return CameraTimeline(
            media_s=history.media_s,
            wall_s=history.wall_s,
            frame_age_ms=self._age_ms(),
            num_groups=self.feed.num_groups,
            tokens_per_s=self.feed.tokens_per_s,
            bins=history.bins(),
            groups=list(history.groups),
        )

    def _age_ms(self) -> float | None:
        wall_s = self.history.wall_s
        return None if wall_s is None else round(max(0.0, self._clock() - wall_s) * 1000, 1)

    def _drops(self) -> dict[str, int]:
        drops = self.feed.drops() + self._errors
        if self._mailbox.num_dropped:
            drops["mailbox"] = self._mailbox.num_dropped
        return dict(drops)

    def _main(self) -> None:
        while True:
            try:
                packet = self._mailbox.get(POLL_S)
            except TimeoutError:
                self._observe()
                continue
            if packet is None:
                break
            if self.states.state is not CameraState.LIVE:
                self.states.to(CameraState.LIVE)
                log.info("camera %s: live, %s %dx%d", self.name, packet.codec, packet.width, packet.height)
            try:
                self._take(packet)
            except Exception as error:  # the fault barrier between cameras: told in full once, then counted
                kind = f"internal_{type(error).__name__}"
                self._errors[kind] += 1
                if self._errors[kind] == 1:
                    log.exception("camera %s: a packet was skipped", self.name)
        for group in self.feed.flush():
            self.history.see_group(group)
        self._offline(self._why("the stream has ended"))

    def _take(self, packet: Packet) -> None:
        self.num_frames += 1
        self._rate.push(packet.media_s)
        self.history.see_packet(packet)
        if self._boundary is not None:
            self._tell(self._boundary.push(packet, self._mean_qp(packet)))
        for group in self.feed.push(packet):
            self.history.see_group(group)

    def _mean_qp(self, packet: Packet) -> float:
        """Over the macroblocks of a packet, NaN where they cannot be read."""
        frame = self._macroblocks.push(packet.data) if self._macroblocks is not None and packet.codec == "h264" else None
        return float(frame.qp.mean()) if frame is not None and frame.is_whole else math.nan

    def _observe(self) -> None:
        """No packet came for a moment: is the camera still there?"""
        match self._pump.state:
            case PumpState.WAITING:
                self._offline(self._why("the camera ended the stream"))
            case PumpState.CONNECTING if self.states.state is CameraState.LIVE:
                self._offline(self._why("the camera ended the stream"))
            case _:
                pass

    def _offline(self, reason: str) -> None:
        if self.states.state is CameraState.OFFLINE:
            self.states.reason = reason
            return
        if self._boundary is not None:
            self._tell(self._boundary.reset())
        log.warning("camera %s: offline: %s", self.name, reason)
        self.states.to(CameraState.OFFLINE, reason)

    def _why(self, otherwise: str) -> str:
        return redact(self._pump.last_error or otherwise)

    def _tell(self, changes: list[Change]) -> None:
        for change in changes:
            self._on_event(change)

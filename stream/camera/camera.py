"""One camera: its packets tokenized and watched for boundaries, its state told.

In: its settings. Out: packets into its `CameraPipeline`, the changes of boundary events that come back, a state with a reason. The
supervisor's thread connects and reads; this one takes packets from the mailbox between them, all that wait at once. What goes wrong here
touches no other camera.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence

from stream.camera.connecting import can_wait, connector_for, timekeeper_for
from stream.camera.health import Health
from stream.camera.pipeline import CameraPipeline
from stream.camera.rate import Rate
from stream.camera.status import CameraStatus, CameraTimeline
from stream.camera.timeline import History
from stream.camera.tokenizing import SkippedPacket, Tokenized
from stream.config.configuration import CameraSettings
from stream.events.event import Change
from stream.sources import Backoff, CameraState, Mailbox, StateMachine, Supervisor, parse_address, redact
from stream.sources.connection import Connector
from stream.sources.limits import IngestLimits
from stream.sources.policy import SourcePolicy
from stream.units import Packet

POLL_S = 0.25
"""How often the thread of a silent camera looks around."""
AWAY_S = 10.0
"""What a watch sees goes on over a shorter break."""
JOIN_S = 2.0
"""Longest wait for each thread when stopping."""

log = logging.getLogger(__name__)


class Camera:
    """`start()`, then `end()` and `join()`. The camera's thread calls `on_event`, `on_group` when one has closed, and `on_away` once
    nothing has come for a while; the supervisor's, too, calls `on_state`.

    Raises `SourceError` for a URL of a kind that we do not read."""

    def __init__(
        self,
        name: str,
        settings: CameraSettings,
        feed: CameraPipeline,
        *,
        on_event: Callable[[Change], None] = lambda change: None,
        on_state: Callable[[Camera], None] = lambda camera: None,
        on_group: Callable[[Camera], None] = lambda camera: None,
        on_away: Callable[[Camera], None] = lambda camera: None,
        on_packet: Callable[[Packet], None] = lambda packet: None,
        door: Connector | None = None,
        policy: SourcePolicy | None = None,
        limits: IngestLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.num_frames = 0
        self.history = History()
        initial = CameraState.CONNECTING if settings.enabled else CameraState.DISABLED
        self.states = StateMachine(initial, on_change=lambda state: on_state(self), clock=clock)
        self.feed = feed
        self._on_event, self._on_group, self._on_away, self._on_packet = on_event, on_group, on_away, on_packet
        self._is_away = False
        self._is_calm = True
        self._monotonic = time.monotonic
        self._taken_s = self._monotonic()
        self._late_s = 0.0
        self._clock = clock
        self._mailbox = Mailbox(f"camera {name}", max_packets=settings.mailbox_packets)
        address = parse_address(settings.url, listen=settings.listen)
        policy = policy or SourcePolicy()
        self._supervisor = Supervisor(
            connector_for(address, settings, policy, limits=limits or IngestLimits(), door=door, clock=clock),
            self._mailbox,
            timekeeper_for(address, settings, clock),
            self.states,
            name=f"camera {name}",
            stale_s=(settings.stale_s or None) if address.is_live else None,
            backoff=Backoff(first_s=settings.reconnect.first_s, longest_s=settings.reconnect.longest_s),
            can_wait=can_wait(address, settings),
        )
        self._rate = Rate()
        self._health = Health(f"camera {name}")
        self._errors: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._main, name=f"camera-{name}", daemon=True)

    def start(self) -> None:
        if self.states.state is not CameraState.DISABLED:
            self._supervisor.start()
            self._thread.start()

    def end(self) -> None:
        """Ask the threads to stop; `join` waits for them."""
        self._supervisor.stop()
        self._mailbox.close()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._supervisor.join(JOIN_S)
            self._thread.join(JOIN_S)
        self.feed.close()

    def status(self) -> CameraStatus:
        return CameraStatus(
            name=self.name,
            state=self.states.state.value,
            reason=self.states.reason,
            groups=self.feed.num_groups,
            frames=self.num_frames,
            frame_age_ms=self._age_ms(),
            reconnects=max(0, self._supervisor.num_connections - 1),
            drops=dict(self._drops()),
            decoded_share=self.decoded_share,
            limits=self.feed.limits(),
        )

    @property
    def decoded_share(self) -> float | None:
        """Pictures decoded, of all that came; None before the first."""
        share = self.feed.decoded_share
        return round(share, 3) if share is not None else None

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
            token_rate=self.feed.token_rate,
            bins=history.bins(),
            groups=list(history.groups),
        )

    def _age_s(self) -> float | None:
        wall_s = self.history.wall_s
        return None if wall_s is None else max(0.0, self._clock() - wall_s)

    def _age_ms(self) -> float | None:
        age_s = self._age_s()
        return None if age_s is None else round(age_s * 1000, 1)

    def _drops(self) -> Counter[str]:
        """What was lost on the way, by reason."""
        return self._supervisor.skipped + self.feed.drops() + self._errors + Counter(mailbox=self._mailbox.num_dropped)

    def _main(self) -> None:
        while True:
            try:
                packets = self._mailbox.take(self.feed.batch_packets, POLL_S)
            except TimeoutError:
                self._observe()
                continue
            if not packets:
                break
            self._observe()
            try:
                self._take(packets)
            except Exception as error:  # noqa: BLE001  the fault barrier between cameras
                self._skip(SkippedPacket(type(error).__name__, traceback.format_exc()))
        for group in self.feed.flush().groups:
            self.history.see_group(group)
        self._quiet()
        reason = redact(self._supervisor.last_error or "the stream has ended")
        log.info("camera %s: %s", self.name, reason)
        self.states.to(CameraState.OFFLINE, reason)

    def _take(self, packets: Sequence[Packet]) -> None:
        for packet in packets:
            self._on_packet(packet)
            self._rate.push(packet.media_s)
            self.history.see_packet(packet)
        self._is_away = self._is_calm = False
        self._taken_s = self._monotonic()
        self._late_s = max(0.0, self._clock() - packets[-1].wall_s)
        done = self.feed.push(packets)
        self.num_frames += len(packets) - len(done.skipped)  # seen: they can be asked about now
        for skipped in done.skipped:
            self._skip(skipped)
        self._tell(done)
        for group in done.groups:
            self.history.see_group(group)
        if done.groups:
            self._on_group(self)

    def _skip(self, skipped: SkippedPacket) -> None:
        """Told in full once, then counted."""
        kind = f"internal_{skipped.kind}"
        self._errors[kind] += 1
        if self._errors[kind] == 1:
            log.error("camera %s: a packet was skipped\n%s", self.name, skipped.traceback)

    def _observe(self) -> None:
        """Once a second: is the camera well? Whenever it is away: what was happening has ended."""
        looked, problem = self._health.look(self._drops, self._late_s)
        if looked and problem:
            self.states.move(CameraState.LIVE, CameraState.DEGRADED, problem)
            self.states.move(CameraState.DEGRADED, CameraState.DEGRADED, problem)
        elif looked:
            self.states.move(CameraState.DEGRADED, CameraState.LIVE)
            self.states.move(CameraState.LIVE, CameraState.LIVE, self._supervisor.clock_problem)
        if not len(self._mailbox) and not self.states.is_flowing:
            self._quiet()

    def _quiet(self) -> None:
        """Nothing happens any more in front of a camera that is away; a short break is none."""
        if not self._is_calm:
            self._is_calm = True
            self._tell(self.feed.calm())
        if not self._is_away and self._monotonic() - self._taken_s > AWAY_S:
            self._is_away = True
            self._on_away(self)

    def _tell(self, done: Tokenized) -> None:
        for change in done.changes:
            self._on_event(change)

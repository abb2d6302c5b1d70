"""A subscriber that must miss nothing: what the broker tells it, in order.

In: a port. Out: `Told`s. It has a persistent session and QoS 1, as docs/mqtt.md asks for, and connects again by itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ov2_bench.errors import RunError

if TYPE_CHECKING:
    import paho.mqtt.client as paho

NAME = "bench-faults"
EVENTS_TOPIC, DROPPED_TOPIC = "ov2/events", "ov2/dropped"
START_S = 20.0


def key_of(body: Mapping[str, Any]) -> str:
    """What tells one step of an event's life from all others: its content."""
    return json.dumps([body["type"], body["before"], body["after"]], sort_keys=True)


@dataclass(frozen=True, slots=True)
class Told:
    """One message of the events' topic: its key and its camera. `marked`: the service says that it may have come before; `repeated`: the broker
    does (its DUP flag)."""

    key: str
    camera: str
    marked: bool
    repeated: bool


class Subscriber:
    """`start()`, `stop()`. `num_lost_sessions`: how often the broker had forgotten us, and with us what we had not got."""

    def __init__(self, port: int) -> None:
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self.num_connections = 0
        self.num_lost_sessions = 0
        self.num_drops_told = 0
        self._port = port
        self._told: list[Told] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=NAME, clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *rest: self._subscribed.set()
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Raises `RunError` when the broker does not let it subscribe."""
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        if not self._subscribed.wait(START_S):
            raise RunError(f"mqtt: expected to be subscribed within {START_S:.0f} s")

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def told(self) -> list[Told]:
        """So far."""
        return list(self._told)

    @property
    def num_told(self) -> int:
        return len(self._told)

    def _on_connect(self, client: paho.Client, data: Any, flags: paho.ConnectFlags, *rest: Any) -> None:
        self.num_lost_sessions += self.num_connections > 0 and not flags.session_present
        self.num_connections += 1
        client.subscribe([(EVENTS_TOPIC, 1), (DROPPED_TOPIC, 1)])

    def _on_message(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        if message.topic == DROPPED_TOPIC:
            self.num_drops_told += 1
            return
        body = json.loads(message.payload)
        self._told.append(Told(key_of(body), body["after"]["camera"], bool(body.get("duplicate")), bool(message.dup)))


EVENTS = frozenset({"boundary", "watch"})

"""Home Assistant's MQTT discovery: one retained message per camera makes a device with all its entities.

In: a camera and its watches. Out: topic and payload of `homeassistant/device/<id>/config`. CONVENTIONS of the topics: docs/mqtt.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stream.events.topics import BOUNDARY, EVENT_TYPES

LONGEST_NAME = 100
"""Characters of an entity's name: a watch may be a whole sentence."""
Component = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchDescription:
    """`name` is a part of topics; `label` is what people read: the watch's sentence, or a short name."""

    name: str
    label: str

    @property
    def shown(self) -> str:
        return _on_one_line(self.label) or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraDescription:
    """What is announced of a camera. `features`: those that can be switched."""

    name: str
    watches: Sequence[WatchDescription] = ()
    features: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """`prefix`: of our topics; `discovery_prefix`: of Home Assistant's. `url`: where the service's own page is, if anywhere."""

    prefix: str
    version: str
    discovery_prefix: str = "homeassistant"
    url: str | None = None

    @property
    def birth_topic(self) -> str:
        return f"{self.discovery_prefix}/status"

    def device_id(self, camera: str) -> str:
        return _safe(f"{self.prefix}_{camera}")

    def topic(self, camera: str) -> str:
        return f"{self.discovery_prefix}/device/{self.device_id(camera)}/config"

    def is_ours(self, topic: str) -> bool:
        return topic.startswith(f"{self.discovery_prefix}/device/{_safe(self.prefix)}_") and topic.endswith("/config")

    def payload(self, camera: CameraDescription) -> bytes:
        device_id = self.device_id(camera.name)
        device = {"ids": [device_id], "name": camera.name, "mf": "OV2 Live", "mdl": "watched camera", "sw": self.version}
        message = {
            "dev": {**device, **({"cu": self.url} if self.url else {})},
            "o": {"name": "OV2 Live", "sw": self.version, **({"url": self.url} if self.url else {})},
            "availability": [
                {"topic": f"{self.prefix}/available"},
                {
                    "topic": f"{self.prefix}/{camera.name}/status",
                    "value_template": "{{ 'online' if value in ('online', 'degraded') else 'offline' }}",
                },
            ],
            "availability_mode": "all",
            "qos": 1,
            "cmps": dict(self._components(camera)),
        }
        return json.dumps(message, ensure_ascii=False).encode()

    def _components(self, camera: CameraDescription) -> Iterator[tuple[str, Component]]:
        base = f"{self.prefix}/{camera.name}"
        described = [
            ("snapshot", {"p": "camera", "name": "Snapshot", "topic": f"{base}/snapshot"}),
            *_figures(f"{base}/state"),
            (BOUNDARY, _binary_sensor("Change", f"{base}/{BOUNDARY}")),
            (f"{BOUNDARY}_event", _event("Change", f"{base}/{BOUNDARY}")),
        ]
        for watch in camera.watches:
            described.append((f"watch_{watch.name}", _binary_sensor(watch.shown, f"{base}/{watch.name}")))
            described.append((f"watch_{watch.name}_event", _event(watch.shown, f"{base}/{watch.name}")))
        described += [(feature, _switch(feature, f"{base}/{feature}")) for feature in camera.features]
        for key, component in described:
            name = f"{self.device_id(camera.name)}_{_safe(key)}"
            yield _safe(key), {**component, "unique_id": name, "default_entity_id": f"{component['p']}.{_slug(name)}"}


def _figures(topic: str) -> Iterator[tuple[str, Component]]:
    """One sensor per figure of the `state` topic: key, name, unit, device class."""
    for key, name, unit, kind in (
        ("fps", "Frame rate", "fps", None),
        ("group_seconds", "Group length", "s", "duration"),
        ("tokens_per_second", "Token rate", "tokens/s", None),
        ("frame_age_ms", "Frame age", "ms", "duration"),
        ("session_seconds", "Session length", "s", "duration"),
    ):
        component: Component = {
            "p": "sensor",
            "name": name,
            "state_topic": topic,
            "value_template": f"{{{{ value_json.{key} }}}}",
            "unit_of_measurement": unit,
            "state_class": "measurement",
            "entity_category": "diagnostic",
        }
        yield key, {**component, "device_class": kind} if kind else component


def _binary_sensor(label: str, base: str) -> Component:
    return {
        "p": "binary_sensor",
        "name": label,
        "state_topic": f"{base}/state",
        "payload_on": "ON",
        "payload_off": "OFF",
    }


def _event(label: str, base: str) -> Component:
    return {"p": "event", "name": f"{label} event", "state_topic": f"{base}/event", "event_types": list(EVENT_TYPES)}


def _switch(feature: str, base: str) -> Component:
    return {
        "p": "switch",
        "name": feature.capitalize(),
        "state_topic": f"{base}/state",
        "command_topic": f"{base}/set",
        "payload_on": "ON",
        "payload_off": "OFF",
        "entity_category": "config",
    }


def _safe(name: str) -> str:
    """Letters, digits, `_` and `-`: what an id in a discovery topic may hold."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _slug(name: str) -> str:
    """What an entity id of Home Assistant may hold."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def _on_one_line(label: str) -> str:
    """A label without control characters, of bounded length."""
    plain = " ".join("".join(character if character.isprintable() else " " for character in label).split())
    return plain if len(plain) <= LONGEST_NAME else plain[: LONGEST_NAME - 1] + "…"

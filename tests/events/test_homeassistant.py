"""Home Assistant's MQTT discovery: every message fits its documented fields, comes again when asked for, and a thousand entities
make no storm."""

from __future__ import annotations

import asyncio
import bisect
import json
import re
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_fixtures import run, until
from mqtt_fixtures import Listener, Mosquitto, mosquitto  # noqa: F401
from service_fixtures import Start, checkpoint, model, start, video  # noqa: F401

from stream.events import mqtt
from stream.events.address import Broker
from stream.events.homeassistant import CameraDescription, Discovery, WatchDescription
from stream.events.mqtt import RETAINED_BURST, RETAINED_PER_S, MqttSink

# ruff: noqa: F811

DEVICE = {"ids", "cns", "name", "mf", "mdl", "mdl_id", "hw", "sn", "sw", "cu", "via_device", "sa"}
ORIGIN = {"name", "sw", "url"}
MESSAGE = {"dev", "o", "cmps", "availability", "availability_mode", "qos", "state_topic", "command_topic", "encoding"}
ENTITY = {"p", "unique_id", "name", "default_entity_id", "entity_category", "icon", "enabled_by_default", "device_class"}
"""Documented for a device message, its parts, and any entity; then what each platform must and may have of its own."""
PLATFORMS: dict[str, tuple[set[str], set[str]]] = {
    "camera": ({"topic"}, {"image_encoding"}),
    "binary_sensor": ({"state_topic"}, {"payload_on", "payload_off", "off_delay", "expire_after", "value_template"}),
    "sensor": ({"state_topic"}, {"value_template", "unit_of_measurement", "state_class", "expire_after", "options"}),
    "event": ({"state_topic", "event_types"}, {"value_template"}),
    "switch": ({"command_topic"}, {"state_topic", "payload_on", "payload_off", "state_on", "state_off"}),
}
DISCOVERY_TOPIC = re.compile(r"homeassistant/device/[A-Za-z0-9_-]+/config")
DISCOVERY = Discovery(prefix="ov2", version="0.1.0", url="http://127.0.0.1:8710")


def check(topic: str, payload: bytes) -> dict[str, Any]:
    """What the documentation asks of a device message. Returns its components."""
    assert DISCOVERY_TOPIC.fullmatch(topic)
    message = json.loads(payload)
    assert {"dev", "o", "cmps"} <= set(message) <= MESSAGE
    assert set(message["dev"]) <= DEVICE
    assert message["dev"]["ids"]
    assert "name" in message["o"]
    assert set(message["o"]) <= ORIGIN
    assert message["availability_mode"] in ("all", "any", "latest")
    for one in message["availability"]:
        assert "topic" in one
        assert set(one) <= {"topic", "payload_available", "payload_not_available", "value_template"}
    for component in message["cmps"].values():
        _check_component(component)
    ids = [component["unique_id"] for component in message["cmps"].values()]
    assert len(set(ids)) == len(ids)
    return dict(message["cmps"])


def _check_component(component: dict[str, Any]) -> None:
    must, may = PLATFORMS[component["p"]]
    assert must <= set(component) <= must | may | ENTITY, component
    assert component["unique_id"]
    assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", component["default_entity_id"])
    assert component["default_entity_id"].startswith(component["p"] + ".")
    for key in ("topic", "state_topic", "command_topic"):
        assert not set(component.get(key, "")) & set("#+\0"), "a topic without wildcards"
    assert 0 < len(component["name"]) <= 110
    assert component["name"].isprintable()
    assert component.get("state_class", "measurement") in ("measurement", "total", "total_increasing")
    assert component.get("entity_category", "config") in ("config", "diagnostic")
    assert all(isinstance(kind, str) for kind in component.get("event_types", []))


def test_a_camera_is_one_device_with_picture_figures_watches_and_switches() -> None:
    watches = [WatchDescription(name="door", label="A person is at the door")]
    camera = CameraDescription(name="front", watches=watches, features=["watching"])
    assert DISCOVERY.topic("front") == "homeassistant/device/ov2_front/config"
    components = check(DISCOVERY.topic("front"), DISCOVERY.payload(camera))
    assert components["snapshot"]["topic"] == "ov2/front/snapshot"
    assert "state_topic" not in components["snapshot"]
    door = components["watch_door"]
    assert (door["p"], door["state_topic"], door["payload_on"], door["payload_off"]) == (
        "binary_sensor",
        "ov2/front/door/state",
        "ON",
        "OFF",
    )
    assert components["watch_door_event"]["event_types"] == ["new", "update", "end"]
    assert components["fps"]["value_template"] == "{{ value_json.fps }}"
    assert components["watching"]["command_topic"] == "ov2/front/watching/set"


@given(
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True),
    watches=st.dictionaries(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True), st.text(min_size=1), max_size=4),
)
def test_every_name_and_every_sentence_makes_a_message_that_fits_the_documented_fields(
    name: str, watches: dict[str, str]
) -> None:
    described = [WatchDescription(name=watch, label=label) for watch, label in watches.items()]
    check(DISCOVERY.topic(name), DISCOVERY.payload(CameraDescription(name=name, watches=described)))


def test_a_service_announces_its_cameras_and_again_after_a_birth_message(
    start: Start, video: Path, mosquitto: Mosquitto
) -> None:
    listener = Listener(mosquitto.port)
    mqtt = {"host": "127.0.0.1", "port": mosquitto.port}
    start({"front": {"url": str(video)}}, mqtt=mqtt, homeassistant={"max_delay_s": 0.1})
    announced = listener.wait_for(lambda m: m.topic == "homeassistant/device/ov2_front/config")
    check(announced.topic, announced.payload)
    listener.wait_for(lambda m: m.topic == "ov2/front/watching/state" and m.payload == b"ON")
    listener.send("ov2/front/watching/set", "OFF")
    listener.wait_for(lambda m: m.topic == "ov2/front/watching/state" and m.payload == b"OFF")

    def announcements() -> int:
        return sum(m.topic == announced.topic for m in listener.messages)

    before = announcements()
    listener.send("homeassistant/status", "online")
    listener.wait_for(lambda m: announcements() > before)
    late = Listener(mosquitto.port)
    late.wait_for(lambda m: m.topic == announced.topic and m.retain)
    late.close()
    listener.close()


def test_a_camera_that_is_forgotten_is_removed_from_the_broker(mosquitto: Mosquitto) -> None:
    topic = DISCOVERY.topic("front")
    listener = Listener(mosquitto.port)

    async def work() -> None:
        sink = MqttSink(Broker(host="127.0.0.1", port=mosquitto.port))
        sink.start()
        sink.announce(topic, DISCOVERY.payload(CameraDescription(name="front")))
        await asyncio.to_thread(listener.wait_for, lambda m: m.topic == topic and bool(m.payload))
        sink.announce(topic, b"")
        await asyncio.to_thread(listener.wait_for, lambda m: m.topic == topic and not m.payload)
        await sink.stop()

    run(work())
    late = Listener(mosquitto.port)
    late.wait_for(lambda m: m.topic == "ov2/available")
    assert not [m for m in late.messages if m.topic == topic]
    late.close()
    listener.close()


def test_a_thousand_entities_survive_a_restart_of_the_broker_without_a_storm(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 cameras with 20 entities each: the device messages, and the states of their watches."""
    cameras = [
        CameraDescription(name=f"cam{n}", watches=[WatchDescription(name=f"w{m}", label=f"watch {m}") for m in range(6)])
        for n in range(50)
    ]
    components = [check(DISCOVERY.topic(camera.name), DISCOVERY.payload(camera)) for camera in cameras]
    assert sum(map(len, components)) >= 1000
    topics = {DISCOVERY.topic(camera.name) for camera in cameras}
    topics |= {f"ov2/{camera.name}/{watch.name}/state" for camera in cameras for watch in camera.watches}

    publish, times = mqtt._publish, []

    def timed(*given: Any) -> Awaitable[None]:
        """What is sent counts: what comes may have waited for a busy machine."""
        times.append(time.monotonic())
        return publish(*given)

    monkeypatch.setattr(mqtt, "_publish", timed)

    async def work() -> None:
        sink = MqttSink(Broker(host="127.0.0.1", port=mosquitto.port))
        sink.start()
        for camera in cameras:
            sink.announce(DISCOVERY.topic(camera.name), DISCOVERY.payload(camera))
            for watch in camera.watches:
                sink.state(f"{camera.name}/{watch.name}/state", "OFF")
        await sink.ready()
        await asyncio.to_thread(mosquitto.stop)  # it keeps nothing
        await until(lambda: not sink.connected.is_set())
        await asyncio.to_thread(mosquitto.start)
        late = await asyncio.to_thread(SeeingListener, mosquitto.port)
        await asyncio.to_thread(late.wait_for, lambda m: topics <= late.seen)
        await sink.stop()
        late.close()
        assert len(times) >= len(topics)
        most = max(bisect.bisect_left(times, start_s + 1) - index for index, start_s in enumerate(times))
        assert most <= RETAINED_PER_S + RETAINED_BURST + 20, f"{most} messages in one second"

    run(work())


class SeeingListener(Listener):
    """Remembers on which topics messages came."""

    def __init__(self, port: int) -> None:
        self.seen: set[str] = set()
        super().__init__(port)

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        self.seen.add(message.topic)
        super()._on_message(client, data, message)


@pytest.mark.parametrize("status", ["online", "degraded"])
def test_a_degraded_camera_is_still_available(status: str) -> None:
    message = json.loads(DISCOVERY.payload(CameraDescription(name="front")))
    assert f"'{status}'" in message["availability"][1]["value_template"]

"""Events reach a real broker: topics, retention, the last will, outages, wrong passwords."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from mqtt_fixtures import Listener, Mosquitto, free_port, listener, mosquitto  # noqa: F401

from stream.errors import PublishError
from stream.events.broker import EmbeddedBroker
from stream.events.event import Change, Event, EventIds, Evidence
from stream.events.mqtt import Broker, Publisher
from stream.events.outbox import Message, Outbox


def event(number: int = 0) -> Event:
    return Event(
        id=f"17000000{number:02d}.000000-abcdef",
        camera="front",
        kind="boundary",
        label="activity",
        start_time=1.0,
        score=6.0,
        top_score=6.0,
        frame_time=1.5,
        frame_age_ms=20.0,
        evidence=(Evidence(start=1.0, end=1.5, frames=5),),
    )


def change(number: int = 0) -> Change:
    return Change("new", event(number), event(number))


def publish(port: int, work: Callable[[Publisher], Awaitable[None]], **broker: str) -> None:
    async def main() -> None:
        publisher = Publisher(Broker(host="127.0.0.1", port=port, **broker))
        publisher.start()
        try:
            await work(publisher)
        finally:
            await publisher.stop()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_states_are_retained_and_events_are_not(mosquitto: Mosquitto, listener: Listener) -> None:  # noqa: F811
    async def work(publisher: Publisher) -> None:
        publisher.state("front/status", "online")
        publisher.event(change())
        await asyncio.to_thread(listener.wait_for, lambda m: m.topic == "ov2/events")
        await asyncio.to_thread(listener.wait_for, lambda m: m.topic == "ov2/front/status")

    publish(mosquitto.port, work)
    listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"offline")
    late = Listener(mosquitto.port)
    late.wait_for(lambda m: m.topic == "ov2/front/status" and m.payload == b"online" and m.retain)
    late.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"offline" and m.retain)
    late.close()
    assert late.events() == []
    (told,) = listener.events()
    assert told["type"] == "new"
    assert set(told) == {"type", "before", "after"}
    assert told["after"]["evidence"] == [{"start": 1.0, "end": 1.5, "frames": 5}]
    assert told["after"]["end_time"] is None


def test_events_wait_for_a_broker_that_is_away_and_states_come_back_after_its_restart(
    mosquitto: Mosquitto,  # noqa: F811
) -> None:
    async def work(publisher: Publisher) -> None:
        publisher.state("front/status", "online")
        await publisher.connected.wait()
        await asyncio.to_thread(mosquitto.stop)
        for number in range(3):
            publisher.event(change(number))
        await asyncio.to_thread(mosquitto.start)  # without persistence: it has forgotten everything
        late = await asyncio.to_thread(Listener, mosquitto.port)
        await asyncio.to_thread(late.wait_for, lambda m: m.topic == "ov2/front/status" and m.payload == b"online")
        await asyncio.to_thread(late.wait_for, lambda m: m.topic == "ov2/available" and m.payload == b"online")
        await publisher.connected.wait()
        publisher.event(change(9))
        await asyncio.to_thread(late.wait_for, lambda m: event(9).id.encode() in m.payload)
        late.close()

    publish(mosquitto.port, work)


def test_a_process_that_dies_is_told_as_offline_by_its_will(mosquitto: Mosquitto, listener: Listener) -> None:  # noqa: F811
    script = (
        "import asyncio, os\n"
        "from stream.events.mqtt import Broker, Publisher\n"
        "async def main():\n"
        f"    publisher = Publisher(Broker(host='127.0.0.1', port={mosquitto.port}))\n"
        "    publisher.start()\n"
        "    await publisher.connected.wait()\n"
        "    os._exit(1)\n"
        "asyncio.run(main())\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=30).returncode == 1
    listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"online")
    listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"offline")


def test_a_wrong_password_is_logged_without_the_password_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Mosquitto(tmp_path, password="right")
    broker.start()

    async def work(publisher: Publisher) -> None:
        while not caplog.records:
            await asyncio.sleep(0)

    caplog.set_level(logging.WARNING)
    publish(broker.port, work, username="ov2", password="wrong-secret")
    broker.stop()
    assert "trying again" in caplog.text
    assert "wrong-secret" not in caplog.text


def test_the_embedded_broker_finds_a_free_port_and_carries_events() -> None:
    with EmbeddedBroker() as broker:
        listener = Listener(broker.port)

        async def work(publisher: Publisher) -> None:
            publisher.state("front/status", "online")
            publisher.event(change())
            await asyncio.to_thread(listener.wait_for, lambda m: m.topic == "ov2/events")
            await asyncio.to_thread(listener.wait_for, lambda m: m.topic == "ov2/front/status")

        publish(broker.port, work)
        listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"offline")
        listener.close()


def test_an_embedded_broker_whose_port_is_taken_says_which_setting_to_change() -> None:
    with EmbeddedBroker() as first, pytest.raises(PublishError, match=r"expected to listen on .*mqtt\.port"):
        EmbeddedBroker(port=first.port).start()


def test_an_unreachable_broker_does_not_hold_up_a_stop() -> None:
    async def work(publisher: Publisher) -> None:
        publisher.event(change())

    publish(free_port(), work)


def test_a_full_outbox_drops_the_oldest_event_and_counts_it() -> None:
    outbox = Outbox(2)
    messages = [Message(topic="ov2/events", payload=str(n).encode(), retain=False) for n in range(3)]
    for message in messages:
        outbox.put(message)
    assert outbox.dropped == 1
    assert outbox.first() is messages[1]


def test_an_outbox_keeps_only_the_latest_value_of_a_retained_topic() -> None:
    outbox = Outbox(2)
    for value in (b"1", b"2"):
        outbox.put(Message(topic="ov2/front/state", payload=value, retain=True))
    first = outbox.first()
    assert first is not None
    assert first.payload == b"2"
    outbox.done(first)
    assert outbox.first() is None
    outbox.renew()
    assert outbox.first() is first


def test_a_value_that_changed_while_it_was_sent_is_sent_again() -> None:
    outbox = Outbox(2)
    old, new = (Message(topic="ov2/front/state", payload=value, retain=True) for value in (b"1", b"2"))
    outbox.put(old)
    outbox.put(new)
    outbox.done(old)
    assert outbox.first() is new


def test_event_ids_have_the_format_of_the_convention_and_never_repeat() -> None:
    ids = EventIds()
    made = [ids.next(1_700_000_000.25) for _ in range(100)]
    assert len({name[:17] for name in made}) == 100
    for name in made:
        seconds, _, rest = name.partition(".")
        micros, _, tail = rest.partition("-")
        assert (seconds, len(micros), len(tail)) == ("1700000000", 6, 6)
        assert micros.isdigit()
        assert tail.isalnum()


def test_a_change_is_json_with_before_and_after() -> None:
    told = json.loads(Change("end", event(), event()).payload())
    assert told["type"] == "end"
    assert told["before"]["id"] == told["after"]["id"]

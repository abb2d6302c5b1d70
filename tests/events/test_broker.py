"""The embedded broker against real clients: who is let in, what they may cost, and what survives any bytes."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mqtt_fixtures import Listener, refusal_of
from waiting import WAIT_S, until

from stream.errors import PacketError
from stream.events.broker import EmbeddedBroker
from stream.events.broker_client import ClientLimits, is_filter, matches
from stream.events.credentials import Credentials, credentials_in, new_credentials, write_credentials
from stream.events.exchange import BrokerLimits
from stream.events.mqtt_packets import Connect, Kind, Publish, Return, parse

KNOWN = Credentials(username="ov2", password="hush")
CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"


@pytest.fixture
def closed() -> Iterator[EmbeddedBroker]:
    """A broker that asks for credentials."""
    with EmbeddedBroker(credentials=KNOWN) as broker:
        yield broker


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """One that takes everybody."""
    with EmbeddedBroker() as one:
        yield one


class Raw:
    """A client that says bytes."""

    def __init__(self, port: int, *said: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        for each in said:
            self.socket.sendall(each)

    def heard(self, number: int) -> bytes:
        found = b""
        while len(found) < number and (more := self.socket.recv(number - len(found))):
            found += more
        return found

    def only(self, number: int) -> bytes:
        """The first it hears; then it leaves."""
        try:
            return self.heard(number)
        finally:
            self.socket.close()

    def is_cut(self) -> bool:
        """Whatever still comes, the end of the connection follows."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        self.socket.close()
        return True


def test_with_credentials_a_stranger_neither_reads_nor_publishes(closed: EmbeddedBroker) -> None:
    inside = Listener(closed.port, username="ov2", password="hush")
    inside.send("ov2/front/status", "online", retain=True)
    assert refusal_of(closed.port) == "Not authorized"
    assert refusal_of(closed.port, "ov2", "wrong") == "Bad user name or password"
    assert refusal_of(closed.port, "somebody", "hush") == "Bad user name or password"
    assert refusal_of(closed.port, "ov2", None) == "Bad user name or password"
    inside.send("ov2/front/status", "offline", retain=True)
    inside.wait_for(lambda m: m.payload == b"offline")
    assert {m.topic for m in inside.messages} == {"ov2/front/status"}
    assert closed.refused == {"unauthorized": 4}
    inside.close()


def test_a_stranger_with_the_name_of_a_client_does_not_take_its_place(closed: EmbeddedBroker) -> None:
    inside = Listener(closed.port, "house", username="ov2", password="hush")
    stranger = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="house", clean_session=True)
    stranger.will_set("ov2/ask", b"a will", retain=True)
    told: list[str] = []
    stranger.on_connect = lambda _client, _data, _flags, reason, _properties: told.append(str(reason))
    stranger.connect("127.0.0.1", closed.port)
    while not told:
        stranger.loop(timeout=1.0)
    inside.send("ov2/x", b"still here")
    inside.wait_for(lambda m: m.payload == b"still here")
    assert [m.topic for m in inside.messages] == ["ov2/x"]
    inside.close()


def test_bytes_before_connect_and_a_packet_that_is_too_large_end_that_connection_alone(closed: EmbeddedBroker) -> None:
    inside = Listener(closed.port, username="ov2", password="hush")
    publish_first = Raw(closed.port, b"\x30\x07\x00\x03ov2hi")
    endless_length = Raw(closed.port, b"\x10\xff\xff\xff\xff\xff")
    large = Raw(closed.port, b"\x10\xff\xff\xff\x7f")
    assert publish_first.is_cut()
    assert endless_length.is_cut()
    assert large.is_cut()
    inside.send("ov2/x", b"still here")
    inside.wait_for(lambda m: m.payload == b"still here")
    assert closed.refused == {"malformed": 3}
    inside.close()


def test_connections_that_say_nothing_make_room_for_those_that_do(broker: EmbeddedBroker) -> None:
    silent = [Raw(broker.port) for _ in range(BrokerLimits().max_strangers + 8)]
    first = silent[0].socket
    assert first.recv(1) == b"", "the oldest is dropped"
    assert Raw(broker.port, CONNECT).only(4) == bytes((Kind.CONNACK << 4, 2, 0, Return.ACCEPTED))
    for each in silent:
        each.socket.close()


def test_clients_beyond_the_limit_are_told_that_there_is_no_place() -> None:
    with EmbeddedBroker(limits=BrokerLimits(max_clients=1)) as broker:
        first = Raw(broker.port, CONNECT)
        assert first.heard(4)[3] == Return.ACCEPTED
        second = Raw(broker.port, CONNECT.replace(b"\x01a", b"\x01b"))
        assert second.heard(4)[3] == Return.UNAVAILABLE
        again = Raw(broker.port, CONNECT)
        assert again.heard(4)[3] == Return.ACCEPTED, "the same client again takes its own place"
        assert first.is_cut()
        for each in (second, again):
            each.socket.close()


def test_a_subscriber_that_never_reads_is_cut_and_the_others_get_everything() -> None:
    limits = BrokerLimits(client=ClientLimits(max_backlog_bytes=1 << 20))
    with EmbeddedBroker(limits=limits) as broker:
        stuck = Raw(broker.port, CONNECT, b"\x82\x06\x00\x01\x00\x01#\x00")
        assert stuck.heard(4)[3] == Return.ACCEPTED
        listener = Listener(broker.port)
        for number in range(40):
            listener.send("ov2/front/snapshot", number.to_bytes(2, "big") * 250_000, retain=True)
        listener.wait_for(lambda m: m.payload[:2] == (39).to_bytes(2, "big"))
        assert [int.from_bytes(m.payload[:2], "big") for m in listener.messages] == list(range(40))
        until(lambda: broker.refused.get("too_slow"))
        assert stuck.is_cut()
        listener.close()


def test_what_is_retained_is_bounded_and_an_empty_one_makes_room() -> None:
    with EmbeddedBroker(limits=BrokerLimits(max_retained=2)) as broker:
        listener = Listener(broker.port)
        for topic in ("a", "b", "c"):
            listener.send(topic, topic, retain=True)
        assert broker.refused == {"retained": 1}
        listener.send("a", b"", retain=True)
        listener.send("d", "d", retain=True)
        late = Listener(broker.port)
        late.wait_for(lambda m: m.topic == "d")
        assert sorted(m.topic for m in late.messages) == ["b", "d"]
        for each in (listener, late):
            each.close()


def test_messages_on_topics_of_the_broker_itself_go_nowhere(broker: EmbeddedBroker) -> None:
    listener = Listener(broker.port)
    listener.subscribe("$SYS/#")
    listener.send("$SYS/broker/uptime", "1", retain=True)
    listener.send("ov2/x", "after")
    listener.wait_for(lambda m: m.payload == b"after")
    assert [m.topic for m in listener.messages] == ["ov2/x"]
    listener.close()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_message_comes_once_and_in_order_whatever_its_qos(broker: EmbeddedBroker, qos: int) -> None:
    async def main() -> list[int]:
        async with aiomqtt.Client("127.0.0.1", broker.port) as reader, aiomqtt.Client("127.0.0.1", broker.port) as writer:
            await reader.subscribe("ov2/+/n", qos=qos)
            for number in range(300):
                await writer.publish("ov2/x/n", str(number), qos=qos)
            found: list[int] = []
            async for message in reader.messages:
                assert isinstance(message.payload, bytes)
                found.append(int(message.payload))
                if len(found) == 300:
                    return found
        raise AssertionError

    assert asyncio.run(asyncio.wait_for(main(), WAIT_S)) == list(range(300))


def test_a_client_that_is_silent_for_longer_than_it_said_is_gone_and_its_will_is_done(broker: EmbeddedBroker) -> None:
    listener = Listener(broker.port)
    will = b"\x10\x18\x00\x04MQTT\x04\x06\x00\x01\x00\x01w\x00\x03ov2\x00\x04will"
    silent = Raw(broker.port, will)
    listener.wait_for(lambda m: (m.topic, m.payload) == ("ov2", b"will"))
    assert silent.is_cut()
    listener.close()


def test_a_broker_whose_thread_has_died_says_so(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    assert broker.problem == ""
    assert broker._loop is not None
    with caplog.at_level(logging.CRITICAL):
        broker._loop.call_soon_threadsafe(broker._loop.stop)
        assert "its thread has ended" in until(lambda: broker.problem)


@given(st.binary(max_size=300))
@settings(max_examples=1000, deadline=None)
def test_any_bytes_are_a_packet_or_a_clear_refusal(body: bytes) -> None:
    for first in {(body or b"\x00")[0], *(kind << 4 | 2 for kind in range(16))}:
        try:
            packet = parse(first, body)
        except PacketError:
            continue
        if isinstance(packet, Publish):
            assert packet.topic and not {"+", "#", "\x00"} & set(packet.topic)  # noqa: PT018


@given(
    st.lists(st.tuples(st.sampled_from([0x10, 0x30, 0x32, 0x34, 0x40, 0x62, 0x82, 0xA2, 0xC0, 0xE0]), st.binary(max_size=60)))
)
@settings(max_examples=100, deadline=None)
def test_any_packets_of_a_client_leave_the_broker_alive(said: list[tuple[int, bytes]]) -> None:
    with EmbeddedBroker() as broker:
        rude = Raw(broker.port, CONNECT)
        try:
            for first, body in said:
                rude.socket.sendall(bytes((first, len(body))) + body)
        except ConnectionError:
            pass  # it was cut, as it should be
        honest = Raw(broker.port, CONNECT.replace(b"\x01a", b"\x01b"), b"\xc0\x00")
        assert honest.heard(6) == b"\x20\x02\x00\x00\xd0\x00"
        assert broker.problem == ""
        for each in (rude, honest):
            each.socket.close()


@given(
    st.text(st.sampled_from("ab"), max_size=3).flatmap(
        lambda a: st.lists(st.sampled_from([a, "b", "$x", ""]), min_size=1, max_size=4)
    ),
    st.lists(st.sampled_from(["a", "b", "+", "#", "$x", "", "a+"]), min_size=1, max_size=4),
)
@settings(max_examples=1000, deadline=None)
def test_filters_take_in_what_pahos_matcher_says(topic: list[str], wanted: list[str]) -> None:
    if not is_filter(wanted):
        return
    text = "/".join(topic)
    if text:
        assert matches(wanted, topic) == paho.topic_matches_sub("/".join(wanted), text)


def test_connect_is_read_as_paho_writes_it_and_other_protocols_are_told_so(broker: EmbeddedBroker) -> None:
    assert parse(0x10, CONNECT[2:]) == Connect(client_id="a", keepalive_s=60)
    assert Raw(broker.port, CONNECT.replace(b"MQTT\x04", b"MQTT\x05")).only(4)[3] == Return.BAD_PROTOCOL


def test_credentials_are_kept_for_their_owner_alone_and_a_damaged_file_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "data" / "mqtt.json"
    assert credentials_in(path) is None
    made = new_credentials()
    assert made.password not in repr(made)
    write_credentials(path, made, "127.0.0.1", 1883)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert credentials_in(path) == made
    whole = path.read_bytes()
    at = whole.index(made.password.encode())
    for bit in range(8):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1 << bit,)) + whole[at + 1 :])
        assert credentials_in(path) is None
    assert "new ones are made" in caplog.text
    assert made.password not in caplog.text
    assert json.loads(whole)["port"] == 1883


def test_a_private_file_is_private_from_its_first_moment(tmp_path: Path) -> None:
    """A reader that opens it the moment it is there never finds another mode."""
    path, modes, over = tmp_path / "mqtt.json", set(), threading.Event()

    def look() -> None:
        while not over.is_set():
            for each in tmp_path.iterdir():
                try:
                    modes.add(stat.S_IMODE(each.stat().st_mode))
                except FileNotFoundError:
                    continue

    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(200):
        write_credentials(path, KNOWN, "127.0.0.1", 1)
    over.set()
    looking.join()
    assert modes == {0o600}

"""The broker inside the service: strangers are kept out, and any bytes on any topic of somebody who may come do no harm.

In: a scene, a number of cases. Out: cases in its ledger.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ov2_bench.attack.cases import any_bytes, any_payload, any_topic
from ov2_bench.attack.mqtt_wire import MqttWire, connect_packet, publish_packet, subscribe_packet
from ov2_bench.attack.scene import Scene
from ov2_bench.attack.target import CAMERA, WATCH

AT_ONCE = 200
"""Messages between two pings, which are answered when all of them were read."""
GARBAGE_SHARE, RETAINED_SHARE = 0.01, 0.005
MALFORMED = (
    b"\x10\xff\xff\xff\xff\x01", b"\x30\xff\xff\xff\x7f", b"\x00\x00", b"\xf0\x00", b"\x30\x03\x00\x50a", b"\x32\x04\x00\x01a\x00",
    b"\x82\x02\x00\x01", b"\x10\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x62\x02\x00\x00", b"\x36\x05\x00\x01a\x00\x01",
)  # fmt: skip
"""Lengths that do not end or promise 256 MB, types that are none, a quality of service of 3, another protocol."""


@asynccontextmanager
async def client_of(scene: Scene, *topics: str) -> AsyncIterator[MqttWire]:
    """Somebody who has the broker's credentials, where it has any. Raises `OSError` when that is refused."""
    told = scene.target.mqtt
    client = MqttWire(told["host"], told["port"])
    try:
        name = f"attack{scene.rng.getrandbits(48)}"
        code = await client.connect(connect_packet(name, told.get("username"), told.get("password")))
        if code:
            raise OSError(f"the broker refused its own credentials with code {code}")
        for topic in topics:
            await client.send(subscribe_packet(topic))
        await client.ping()
        yield client
    finally:
        await client.close()


async def strangers(scene: Scene, count: int) -> None:
    """Where tokens are set, nobody comes in without the broker's credentials, however he asks."""
    for what, first in _knocks(scene.rng)[:count]:
        problem = ""
        told = scene.target.mqtt
        client = MqttWire(told["host"], told["port"])
        try:
            if not await client.connect(first):
                problem = "let in" + await _can_switch(scene, client)
        except TimeoutError:
            problem = "neither let in nor refused"
        except (OSError, EOFError):
            pass
        finally:
            await client.close()
        await scene.judged(problem, f"mqtt: {what}", is_silent=False)
    await scene.judged(await _is_on(scene), "mqtt: a message sent along with CONNECT, before its answer", is_silent=False)
    await scene.honest("strangers at the broker")


def _knocks(rng: random.Random) -> list[tuple[str, bytes]]:
    off = publish_packet(f"ov2/{CAMERA}/{WATCH}/set".encode(), b"OFF")
    knocks = [
        ("without credentials", connect_packet("a")),
        ("a message behind CONNECT", connect_packet("b") + off),
        ("a wrong password", connect_packet("c", "ov2", "wrong")),
        ("an empty name", connect_packet("d", "", "")),
        ("a name alone", connect_packet("e", "ov2")),
        ("MQTT 5", connect_packet("f", level=5)),
        ("MQTT 3.1", connect_packet("g", level=3)),
        ("no client id", connect_packet("")),
        ("random bytes", any_bytes(rng) or b"\x10"),
        ("a message in the place of CONNECT", off),
    ]
    rng.shuffle(knocks)
    return knocks


async def _can_switch(scene: Scene, client: MqttWire) -> str:
    """What a stranger that was let in can do."""
    try:
        await client.send(publish_packet(f"ov2/{CAMERA}/{WATCH}/set".encode(), b"OFF", qos=0))
        await client.ping()
    except (OSError, EOFError, TimeoutError):
        return ""
    return f", and {told}" if (told := await _is_on(scene)) else ""


async def _is_on(scene: Scene) -> str:
    """Whether our watch was switched off; it is on again then."""
    watches = await scene.target.get("/v1/watches") or []
    if all(watch["settings"]["enabled"] for watch in watches if watch["name"] == WATCH):
        return ""
    async with client_of(scene) as client:
        await client.send(publish_packet(f"ov2/{CAMERA}/{WATCH}/set".encode(), b"ON"))
        await client.ping()
    return "a watch was switched off"


async def fuzz(scene: Scene, count: int) -> None:
    """Any bytes on any topic; now and then bytes that are no packet, on a connection of their own."""
    made, retained = 0, set[str]()
    while made < count:
        size = min(AT_ONCE, count - made)
        problem = ""
        try:
            async with client_of(scene) as client:
                for _ in range(size):
                    await client.send(_message(scene, retained))
                await client.ping()
        except (OSError, EOFError, TimeoutError) as error:
            problem = f"{type(error).__name__}: {error}"
        for number in range(size):
            await scene.judged(problem if not number else "", "mqtt: any bytes on any topic")
        made += size
        if scene.rng.random() < GARBAGE_SHARE * size:
            await _garbage(scene)
            made += 1
    await _forget(scene, retained)
    await _put_back(scene)
    await scene.honest("any bytes on any topic")


def _message(scene: Scene, retained: set[str]) -> bytes:
    rng, prefix = scene.rng, str(scene.target.mqtt.get("prefix", "ov2"))
    topic, retain = any_topic(rng, prefix), rng.random() < RETAINED_SHARE
    data = topic.encode("utf-8", "replace")
    if retain:
        retained.add(data.decode())
    return publish_packet(data, any_payload(rng), qos=rng.choice((0, 0, 1)), retain=retain, ident=rng.randint(1, 65535))


async def _garbage(scene: Scene) -> None:
    """A broker may close on it; it has to let in the next one."""
    told = scene.target.mqtt
    malformed = scene.rng.choice((*MALFORMED, any_bytes(scene.rng)))
    problem = ""
    client = MqttWire(told["host"], told["port"])
    try:
        await client.connect(connect_packet("garbage", told.get("username"), told.get("password")))
        await client.send(malformed)
    except (OSError, EOFError, TimeoutError) as error:
        problem = f"{type(error).__name__}: {error}"
    finally:
        await client.close()
    await scene.judged(problem, f"mqtt: {malformed[:40]!r}")


async def _forget(scene: Scene, topics: set[str]) -> None:
    """What the broker kept for ever."""
    async with client_of(scene) as client:
        for topic in sorted(topics):
            await client.send(publish_packet(topic.encode(), b"", retain=True))
        await client.ping()


async def _put_back(scene: Scene) -> None:
    """What was switched, made and removed meanwhile."""
    prefix = str(scene.target.mqtt.get("prefix", "ov2"))
    for watch in await scene.target.get("/v1/watches") or []:
        if watch["name"] != WATCH:
            await scene.case("DELETE", f"/v1/cameras/{watch['camera']}/watches/{watch['name']}")
    async with client_of(scene) as client:
        for camera in scene.target.config["cameras"]:
            for feature in ("watching", "session"):
                await client.send(publish_packet(f"{prefix}/{camera}/{feature}/set".encode(), b"ON"))
        await client.ping()
    await scene.target.keep_watch()

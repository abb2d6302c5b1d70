"""Any bytes on any topic of the embedded broker: the service lives, and the next honest question is answered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ov2_bench.attack.attackers.questions import DEADLY
from ov2_bench.attack.cases import any_payload, any_topic, json_object
from ov2_bench.attack.mqtt_wire import MqttWire, connect_packet, publish_packet, subscribe_packet
from service_fixtures import WAIT_S, Start, checkpoint, model, start, video  # noqa: F401

# ruff: noqa: F811

NUM_CASES = 1000
HONEST_EVERY = 50
QUESTION = {"camera": '"front"', "question": '"Is there a car?"', "max_tokens": "1"}
TOPICS = st.one_of(
    st.randoms(use_true_random=False).map(lambda rng: any_topic(rng, "ov2").encode("utf-8", "replace")),
    st.just(b"ov2/ask"),
    st.text(st.characters(exclude_characters="+#\x00", exclude_categories=("Cs",)), min_size=1, max_size=60).map(str.encode),
)
PAYLOADS = st.one_of(
    st.binary(max_size=300),
    st.randoms(use_true_random=False).map(any_payload),
    st.sampled_from(DEADLY).map(lambda fields: json_object({**QUESTION, **fields})),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)


class Publisher:
    """One client of the broker; a connection that a broker has closed on what it was sent is made anew."""

    def __init__(self, port: int, runner: asyncio.Runner) -> None:
        self._port, self._runner = port, runner
        self._client: MqttWire | None = None
        self._num = 0

    def publish(self, topic: bytes, payload: bytes, qos: int, *, retain: bool) -> None:
        """Returns when the broker has read it, or has closed."""
        self._runner.run(self._publish(publish_packet(topic, payload, qos=qos, retain=retain)))

    def ask(self) -> dict[str, object]:
        """An honest question over MQTT: its answer."""
        return dict(json.loads(self._runner.run(self._ask())))

    def close(self) -> None:
        if self._client is not None:
            self._runner.run(self._client.close())

    async def _publish(self, data: bytes) -> None:
        try:
            client = self._client or await self._connect()
            await client.send(data)
            await client.ping()
        except (OSError, EOFError):
            if self._client is not None:
                await self._client.close()
                self._client = None
            await self._connect()

    async def _connect(self) -> MqttWire:
        client = MqttWire("127.0.0.1", self._port)
        assert await client.connect(connect_packet("any-bytes")) == 0
        self._client = client
        return client

    async def _ask(self) -> bytes:
        self._num += 1
        name = f"honest-{self._num}"
        client = self._client or await self._connect()
        await client.send(subscribe_packet(f"ov2/answer/{name}"))
        await client.ping()
        body = json.dumps({"id": name, "camera": "front", "question": "Is there a car?", "max_tokens": 1})
        await client.send(publish_packet(b"ov2/ask", body.encode(), qos=1))
        return (await client.wait_for(f"ov2/answer/{name}", WAIT_S)).payload


@pytest.mark.timeout(600)
def test_any_bytes_on_any_topic_do_no_harm(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "loop": True}})
    service.camera_when("front", lambda status: status["groups"] > 0)
    numbers = iter(range(10 * NUM_CASES))
    with asyncio.Runner() as runner:
        publisher = Publisher(service.get("/v1/status").json()["mqtt"]["port"], runner)

        @settings(  # no shrinking: a service that has died stays dead
            max_examples=NUM_CASES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @given(TOPICS, PAYLOADS, st.sampled_from((0, 1)), st.booleans())
        def case(topic: bytes, payload: bytes, qos: int, retain: bool) -> None:
            publisher.publish(topic, payload, qos, retain=retain)
            assert service.get("/healthz").status_code == 200
            if next(numbers) % HONEST_EVERY == 0:
                assert "answer" in until_answered(publisher)

        case()
        assert "answer" in until_answered(publisher)
        publisher.close()
    assert service.ask("front", question="Is there a car?", max_tokens=1).status_code == 200


def until_answered(publisher: Publisher) -> dict[str, object]:
    """Questions of the cases may hold all places; who is told so asks again."""
    while True:
        told = publisher.ask()
        error = told.get("error")
        if not isinstance(error, dict) or error.get("code") != "at_capacity":
            return told

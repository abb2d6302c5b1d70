"""One question does not end the service, over HTTP or MQTT; a device that has become unusable is told, and begun again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from failing_model import FailingModel, device_fault, failing
from mqtt_fixtures import Listener
from service_fixtures import RunningService, Start, checkpoint, over, start, video  # noqa: F401
from small_model import byte_tokenizer

from stream.config.configuration import ModelSettings
from stream.serve.run import load_model

# ruff: noqa: F811

BAD = "^"
HONEST = {"question": "who?", "max_tokens": 3}


@pytest.fixture
def model(checkpoint: Path) -> FailingModel:
    made = failing(load_model(ModelSettings(path=str(checkpoint))))
    made.bad_ids = byte_tokenizer().encode(BAD)
    made.fault_ids = byte_tokenizer().encode("who?")
    return made


@pytest.fixture
def service(start: Start, video: Path) -> RunningService:
    service = start({"front": {"url": str(video), "paced": False}})
    service.camera_when("front", over)
    return service


@pytest.fixture
def mqtt(service: RunningService) -> Iterator[Listener]:
    client = Listener(service.mqtt_port)
    yield client
    client.close()


def raw(service: RunningService, body: str) -> httpx.Response:
    """JSON that no encoder would write."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return httpx.post(f"{service.url}/v1/cameras/front/ask", content=body, headers=headers, timeout=60)


def over_mqtt(mqtt: Listener, name: str, **more: Any) -> dict[str, Any]:
    mqtt.send("ov2/ask", json.dumps({"id": name, "camera": "front", **more}))
    return dict(json.loads(mqtt.wait_for(lambda message: message.topic == f"ov2/answer/{name}").payload))


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ('"seed": 18446744073709551616', "seed"),
        ('"seed": -1', "seed"),
        ('"temperature": NaN', "temperature"),
        ('"temperature": 1e999', "temperature"),
        ('"temperature": 1, "top_p": NaN', "top_p"),
        ('"max_tokens": 100000000000000000000000', "max_tokens"),
        ('"temperature": 1e-39', None),
        ('"temperature": 1, "top_p": 1e-46', None),
        ('"temperature": 1, "seed": 9223372036854775807', None),
    ],
)
def test_sampling_at_and_beyond_its_bounds_is_answered_or_refused_and_the_next_question_is_answered(
    service: RunningService, mqtt: Listener, more: str, refused: str | None
) -> None:
    response = raw(service, f'{{"question": "q", {more}}}')
    told = over_mqtt(mqtt, "q-1", **{"question": "q", **json.loads(f"{{{more}}}")})
    if refused is None:
        assert response.status_code == 200
        assert "answer" in told
    else:
        assert response.status_code == 422
        assert refused in response.json()["error"]["message"]
        assert told["error"]["code"] == "bad_question"
        assert refused in told["error"]["message"]
    assert service.ask("front", **HONEST).status_code == 200
    assert "answer" in over_mqtt(mqtt, "q-2", **HONEST)
    assert service.get("/v1/status").json()["engine"]["restarts"] == 0


def test_a_question_that_raises_in_the_model_fails_alone_and_tells_nothing_of_the_inside(
    service: RunningService, mqtt: Listener
) -> None:
    response = service.ask("front", question=f"Does it {BAD}?")
    assert response.status_code == 500
    told = over_mqtt(mqtt, "q-1", question=f"Does it {BAD}?")
    for error in (response.json()["error"], told["error"]):
        assert error["code"] == "internal"
        assert error["message"] == "question: expected an answer, got ValueError on the way to it; the service's log says more"
    assert service.ask("front", **HONEST).status_code == 200
    assert "answer" in over_mqtt(mqtt, "q-2", **HONEST)
    assert service.get("/healthz").status_code == 200


def test_after_a_fault_of_the_device_questions_are_answered_as_before(service: RunningService, model: FailingModel) -> None:
    before = service.ask("front", **HONEST).json()
    model.faults.append(device_fault())
    response = service.ask("front", **HONEST)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert "it has begun again; ask again" in response.json()["error"]["message"]
    after = service.ask("front", **HONEST).json()
    assert (after["answer"], after["window"]) == (before["answer"], before["window"])
    assert service.get("/v1/status").json()["engine"]["restarts"] == 1
    assert service.get("/healthz").status_code == 200


def test_a_fourth_fault_within_a_minute_ends_the_service_with_status_1(service: RunningService, model: FailingModel) -> None:
    for _ in range(3):
        model.faults.append(device_fault())
        assert service.ask("front", **HONEST).status_code == 503
        assert service.ask("front", **HONEST).status_code == 200
    model.faults.append(device_fault())
    assert service.ask("front", **HONEST).status_code in (500, 503)
    assert service.end() == 1

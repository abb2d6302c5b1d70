"""The service over its real HTTP server: answers, refusals, cameras that fail, a stop."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from mqtt_fixtures import Listener, Mosquitto, mosquitto  # noqa: F401
from ports import free_port
from repository import TESTS
from rtsp_publisher import publish
from service_fixtures import Start, checkpoint, model, over, start, video, write_video  # noqa: F401

from stream.errors import SettingsError
from stream.serve.errors import StartError

# ruff: noqa: F811


def test_a_question_to_a_camera_streams_tokens_and_ends_with_an_answer_that_names_its_evidence(
    start: Start, video: Path
) -> None:
    service = start({"front": {"url": str(video), "paced": False}})
    service.camera_when("front", over)
    body = {"question": "who is there?", "max_tokens": 6}
    events = []
    with httpx.stream("POST", f"{service.url}/v1/cameras/front/ask", json=body, timeout=60) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for block in "".join(response.iter_text()).strip().split("\n\n"):
            name, data = block.split("\n")
            events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    assert {name for name, _ in events[:-1]} == {"token"}
    name, answer = events[-1]
    assert name == "answer"
    assert answer["answer"] == "".join(data["text"] for _, data in events[:-1]).strip()
    assert (answer["camera"], answer["question"]) == ("front", "who is there?")
    assert answer["window"]["start_s"] == 0.0
    assert answer["window"]["end_s"] == pytest.approx(4.0, abs=0.6), "the last frames are seen"
    (span,) = answer["evidence"]
    assert span["end"] - span["start"] == pytest.approx(answer["window"]["end_s"], abs=0.2)
    assert span["frames"] > 0
    assert answer["frame_age_ms"] >= 0
    assert answer["timings"]["total_ms"] >= answer["timings"]["first_token_ms"] >= answer["timings"]["queue_ms"] >= 0


def test_the_same_greedy_question_gets_the_same_answer_streamed_or_whole(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}})
    service.camera_when("front", over)
    whole = service.ask("front", question="who?", max_tokens=5)
    assert whole.headers["content-type"] == "application/json"
    by_accept = httpx.post(
        f"{service.url}/v1/cameras/front/ask",
        json={"question": "who?", "max_tokens": 5},
        headers={"Accept": "application/json"},
        timeout=60,
    )
    assert by_accept.json()["answer"] == whole.json()["answer"]


def test_an_answer_sees_the_frames_of_the_group_that_is_still_open(start: Start, tmp_path: Path) -> None:
    """No group closes within this file's twenty seconds: what is seen comes from the peek alone."""
    video = write_video(tmp_path / "long.mp4", seconds=20.0)
    tokenizer = {"quota": 1e12, "t_max_s": 60.0}
    service = start({"front": {"url": str(video), "paced": True, "tokenizer": tokenizer}})
    service.camera_when("front", lambda status: status["frames"] >= 15)
    assert service.camera("front")["groups"] == 0
    answer = service.ask("front", question="who?", max_tokens=2).json()
    assert answer["window"]["end_s"] > 1.0


def test_questions_asked_at_once_are_all_answered(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}, "back": {"url": str(video), "paced": False}})
    for name in ("front", "back"):
        service.camera_when(name, over)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(service.ask, name, question="who?", max_tokens=6) for name in ("front", "back") * 4]
        answers = [future.result().json() for future in asked]
    assert len({answer["id"] for answer in answers}) == 8
    assert len({answer["answer"] for answer in answers}) == 1, "same pictures, same question, same answer"


def test_a_token_rate_that_cannot_be_kept_is_told_by_camera_with_what_to_set(start: Start, video: Path) -> None:
    by_activity = {"preset": "activity", "t_still_s": 30.0, "t_max_s": 6.0, "token_rate": 5.0}
    service = start(
        {"front": {"url": str(video), "paced": False, "tokenizer": by_activity}, "back": {"url": str(video), "paced": False}}
    )
    front, back = service.camera_when("front", over), service.camera_when("back", over)
    rate, window = front["limits"]
    assert "above token_rate 5" in rate
    assert "set t_max_s" in rate
    assert "hold 60 s: the checkpoint knows times up to 90 s (max_timestamp_s)" in window
    assert not [told for told in back["limits"] if "token_rate" in told]
    assert service.get("/v1/status").json()["limits"]["front"] == front["limits"]


def test_cameras_are_listed_with_state_counts_and_age(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}, "spare": {"url": "rtsp://127.0.0.1:1/x", "enabled": False}})
    front = service.camera_when("front", over)
    told = {"name", "state", "reason", "groups", "frames", "frame_age_ms", "reconnects", "drops", "decoded_share", "limits"}
    assert set(front) == told
    assert front["decoded_share"] == 1.0, "nano's evidence is read from decoded pictures"
    assert (front["state"], front["frames"], front["reconnects"]) == ("offline", 40, 0)
    assert front["groups"] >= 1
    spare = service.get("/v1/cameras").json()[1]
    assert (spare["name"], spare["state"], spare["frame_age_ms"]) == ("spare", "disabled", None)


def test_an_unknown_camera_is_a_404_that_names_the_nearest(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video)}, "yard": {"url": str(video)}})
    response = service.ask("frnt", question="who?")
    error = response.json()["error"]
    assert response.status_code == 404
    assert error["expected"] == "front, yard"
    assert error["got"] == "frnt"
    assert "did you mean front?" in error["message"]


@pytest.mark.parametrize("question", ["", "  \n"])
def test_a_zero_length_question_is_refused(start: Start, video: Path, question: str) -> None:
    response = start({"front": {"url": str(video)}}).ask("front", question=question)
    assert response.status_code == 422
    assert response.json()["error"]["expected"] == "some text"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "question: Field required"),
        ({"question": "a", "temprature": 1}, "temprature: Extra inputs are not permitted"),
        ({"question": "a" * 2001}, "question: String should have at most 2000 characters"),
        ({"question": "a", "max_tokens": 100000}, "max_tokens: expected at most 256, got 100000; set server.max_tokens"),
    ],
)
def test_a_bad_request_says_what_was_expected(start: Start, video: Path, body: dict[str, Any], expected: str) -> None:
    response = start({"front": {"url": str(video)}}).ask("front", **body)
    assert response.status_code == 422
    assert expected in response.json()["error"]["message"]


def test_a_question_before_the_first_frame_is_a_503_with_retry_after(start: Start) -> None:
    service = start({"front": {"url": f"listen:rtsp://127.0.0.1:{free_port()}/x"}})
    response = service.ask("front", question="who?")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert response.json()["error"]["expected"] == "at least one frame"


def test_more_questions_than_allowed_are_refused_not_dropped(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, server={"port": 0, "max_questions": 1, "max_branches": 1})
    service.camera_when("front", over)
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(service.ask, "front", question="who?", max_tokens=64) for _ in range(12)]
        responses = [future.result() for future in asked]
    statuses = {response.status_code for response in responses}
    assert statuses <= {200, 503}
    assert 200 in statuses
    refused = [response for response in responses if response.status_code == 503]
    assert refused, "twelve at once, one place"
    assert refused[0].json()["error"]["setting"] == "server.max_questions"
    assert "Retry-After" in refused[0].headers


def test_a_client_that_leaves_gives_its_place_back(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, server={"port": 0, "max_questions": 1, "max_tokens": 1000})
    service.camera_when("front", over)
    body = {"question": "who?", "max_tokens": 1000, "temperature": 5.0, "seed": 1}
    with httpx.stream("POST", f"{service.url}/v1/cameras/front/ask", json=body, timeout=60) as response:
        next(response.iter_text())
    while (answer := service.ask("front", question="who?", max_tokens=2)).status_code == 503:
        pass
    assert answer.status_code == 200


def test_a_camera_that_cannot_be_reached_is_offline_with_a_reason_and_touches_no_other(start: Start, video: Path) -> None:
    service = start(
        {
            "dead": {"url": f"rtsp://admin:hunter2@127.0.0.1:{free_port()}/x"},
            "front": {"url": str(video), "paced": False},
        }
    )
    dead = service.camera_when("dead", lambda status: status["state"] == "offline")
    assert "refused" in dead["reason"] or "reach" in dead["reason"]
    assert "hunter2" not in json.dumps(dead)
    service.camera_when("front", over)
    assert service.ask("front", question="who?", max_tokens=2).status_code == 200
    assert service.ask("dead", question="who?").status_code == 503


def test_files_that_are_no_video_or_of_a_codec_without_evidence_or_cut_off_are_told_apart(start: Start, tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("not a video at all " * 100)
    mpeg4 = write_video(tmp_path / "mpeg4.avi", codec="mpeg4")
    whole = write_video(tmp_path / "whole.mkv")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    files = {"text": text, "mpeg4": mpeg4, "cut": cut, "none": tmp_path / "none.mp4"}
    service = start({name: {"url": str(file), "paced": False} for name, file in files.items()})
    offline = {name: service.camera_when(name, lambda status: status["state"] == "offline") for name in files}
    assert "expected a video" in offline["text"]["reason"]
    assert "or MJPEG, got mpeg4" in offline["mpeg4"]["reason"]
    assert "no such file" in offline["none"]["reason"]
    assert 0 < offline["cut"]["frames"] < 40
    assert service.ask("cut", question="who?", max_tokens=2).status_code == 200, "what there was can be asked about"


def test_a_camera_that_comes_back_is_live_again_and_its_time_goes_on(start: Start, video: Path) -> None:
    url = f"rtsp://127.0.0.1:{free_port()}/front"
    service = start({"front": {"url": f"listen:{url}"}})
    publish(video, url)
    first = service.camera_when("front", lambda status: status["frames"] >= 35)
    publish(video, url)
    second = service.camera_when("front", lambda status: status["frames"] >= first["frames"] + 35)
    assert second["reconnects"] >= 1
    answer = service.ask("front", question="who?", max_tokens=2).json()
    assert answer["window"]["end_s"] > 7.0
    assert answer["frame_age_ms"] < 60_000


def test_a_timeline_tells_costs_and_cuts_and_the_canvases_are_a_picture(start: Start, video: Path) -> None:
    service = start(
        {"front": {"url": str(video), "paced": False}, "late": {"url": f"rtsp://127.0.0.1:{free_port()}/x", "listen": True}}
    )
    service.camera_when("front", over)
    timeline = service.get("/v1/cameras/front/timeline").json()
    assert timeline["media_s"] == pytest.approx(3.9)
    assert [start_s for start_s, _ in timeline["bins"]] == [0.5 * n for n in range(7)]
    assert all(spent > 0 for _, spent in timeline["bins"])
    assert timeline["num_groups"] == len(timeline["groups"])
    assert timeline["groups"][-1]["closed_by"] == "end"
    assert all(group["active"] == (group["canvases"] > 1) for group in timeline["groups"])
    assert timeline["token_rate"] == 60.0
    png = service.get("/v1/cameras/front/canvases.png")
    assert (png.headers["content-type"], png.content[:8]) == ("image/png", b"\x89PNG\r\n\x1a\n")
    assert service.get("/v1/cameras/late/timeline").json()["media_s"] is None
    assert service.get("/v1/cameras/late/canvases.png").status_code == 503


def test_health_is_about_the_process_and_readiness_about_cameras(start: Start, tmp_path: Path) -> None:
    video = write_video(tmp_path / "live.mp4", seconds=8.0)  # it is to be seen live, also by a busy machine
    service = start({"front": {"url": str(video)}})
    assert service.get("/healthz").json() == {"ok": True}
    service.camera_when("front", lambda status: status["state"] == "live")
    assert service.get("/readyz").status_code == 200
    service.camera_when("front", over)
    assert service.get("/readyz").status_code == 503


def test_routes_are_a_decision(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video)}})
    listed = {line.split()[2] for line in (TESTS / "clients" / "surface.txt").read_text().splitlines() if line[:5] == "route"}
    browsers = ("/whip/", "/whep/", "/live/", "/publish/", "/docs")
    served = set(service.get("/openapi.json").json()["paths"])
    assert {path for path in served if not path.startswith(browsers)} == {
        path for path in listed if not path.startswith(browsers)
    }
    assert service.get("/v1/config/schema.json").json()["title"] == "Config"
    missing = service.get("/v1/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "http")


def test_states_and_boundary_events_reach_the_configured_broker(start: Start, tmp_path: Path, mosquitto: Mosquitto) -> None:
    moving = write_video(tmp_path / "long.mp4", seconds=16.0)
    listener = Listener(mosquitto.port)
    service = start(
        {"front": {"url": str(moving), "paced": False, "boundary": {"onset": 3.0}}},
        mqtt={"host": "127.0.0.1", "port": mosquitto.port, "state_every_s": 0.2},
    )
    service.camera_when("front", over)
    listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"online")
    listener.wait_for(lambda m: m.topic == "ov2/front/status" and m.payload == b"offline")
    state = json.loads(listener.wait_for(lambda m: m.topic == "ov2/front/state").payload)
    assert set(state) == {"fps", "group_seconds", "tokens_per_second", "session_seconds", "frame_age_ms"}
    listener.wait_for(lambda m: m.topic == "ov2/events")
    events = listener.events()
    assert events[0]["type"] == "new"
    assert (events[0]["after"]["camera"], events[0]["after"]["kind"]) == ("front", "boundary")
    assert service.end() == 0
    listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"offline")
    listener.close()


def test_without_a_configured_broker_the_embedded_one_is_told_in_the_status(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "loop": True}})
    mqtt = service.get("/v1/status").json()["mqtt"]
    assert (mqtt["embedded"], mqtt["port"]) == (True, service.mqtt_port)
    listener = Listener(service.mqtt_port)
    listener.wait_for(lambda m: m.topic == "ov2/front/status" and m.payload == b"online")
    listener.close()


def test_a_port_in_use_and_bad_camera_settings_are_clear_errors(start: Start, video: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"expected to listen on 127\.0\.0\.1:{port}, got: address already in use; set"):
            start({"front": {"url": str(video)}}, server={"port": port})
    with pytest.raises(SettingsError, match=r"cameras\.front\.tokenizer\.t_max_s: expected at least t_min_s"):
        start({"front": {"url": str(video), "tokenizer": {"t_max_s": 1.0}}})


def test_a_stop_ends_answers_on_their_way_with_an_error_event(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, server={"port": 0, "max_tokens": 2000})
    service.camera_when("front", over)
    body = {"question": "who?", "max_tokens": 2000, "temperature": 5.0, "seed": 1}
    with httpx.stream("POST", f"{service.url}/v1/cameras/front/ask", json=body, timeout=60) as response:
        texts = response.iter_text()
        next(texts)
        service.runner.stop()
        rest = "".join(texts)
    assert "event: error" in rest
    assert "stopping" in rest
    assert service.end() == 0

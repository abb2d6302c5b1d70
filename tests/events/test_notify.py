"""Webhooks and Apprise behind the outbox, over real HTTP: what is told, what is tried again, what is never shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from stream.errors import DeliveryRefusedError, PublishError, SettingsError
from stream.events.apprise import AppriseSink, notification
from stream.events.webhook import Webhook
from stream.journal import Entry


class Receiver(ThreadingHTTPServer):
    """Remembers requests; answers with the next of `answers`, then 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def entry(kind: str = "watch", change: str = "new", **after: Any) -> Entry:
    event = {"camera": "front", "label": "dog", "severity": "alert", "score": 0.9, "caption": None, "id": "1.000000-abcdef"}
    body = {"type": change, "before": event, "after": {**event, **after}}
    return Entry(position=7_000_000, kind=kind, camera="front", id="1.000000-abcdef", body=body)


def deliver(sink: Webhook | AppriseSink, *entries: Entry, duplicate: bool = False) -> None:
    async def all_of_them() -> None:
        try:
            for one in entries:
                await sink.deliver(one, duplicate=duplicate)
        finally:
            await sink.close()

    asyncio.run(all_of_them())


def test_an_event_is_posted_with_an_id_to_tell_repetitions_by(receiver: Receiver) -> None:
    deliver(Webhook("home", receiver.url + "/hook", headers={"Authorization": "Bearer hunter2"}), entry(), duplicate=True)
    [(path, headers, body)] = receiver.got
    assert path == "/hook"
    assert headers["Idempotency-Key"] == "1.000000-abcdef-7000000"
    assert headers["Authorization"] == "Bearer hunter2"
    assert json.loads(body)["after"]["label"] == "dog"
    assert json.loads(body)["duplicate"] is True


@pytest.mark.parametrize(
    ("status", "error"), [(500, PublishError), (429, PublishError), (404, DeliveryRefusedError), (301, DeliveryRefusedError)]
)
def test_what_the_receiver_answers_decides_whether_it_is_tried_again(
    receiver: Receiver, status: int, error: type[Exception]
) -> None:
    receiver.answers = [status]
    with pytest.raises(error, match=f"expected 2xx, got {status}"):
        deliver(Webhook("home", receiver.url), entry())


def test_a_receiver_that_is_away_is_tried_again_and_its_secrets_are_not_told() -> None:
    with pytest.raises(PublishError) as caught:
        deliver(Webhook("home", "http://me:hunter2@127.0.0.1:1/hook?token=hunter2"), entry())
    assert "hunter2" not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.__context__!r}"


def test_only_the_kinds_that_were_asked_for_are_told(receiver: Receiver) -> None:
    deliver(Webhook("home", receiver.url, kinds=frozenset({"watch"})), entry("boundary"), entry("question"), entry("watch"))
    assert len(receiver.got) == 1


def test_ntfy_rings_once_when_an_event_begins_and_once_for_its_caption(receiver: Receiver) -> None:
    """Through Apprise's own ntfy client, to a server of ours."""
    sink = AppriseSink("phone", receiver.url.replace("http://", "ntfy://") + "/alerts")
    deliver(sink, entry(), entry(change="update"), entry(change="update", caption="a dog at the door"), entry(change="end"))
    told = [json.loads(body) for _, _, body in receiver.got]
    assert [(each["title"], each["message"]) for each in told] == [
        ("front: dog", "90% sure"),
        ("front: dog", "a dog at the door"),
    ]


def test_a_phone_that_cannot_be_reached_is_tried_again(receiver: Receiver) -> None:
    receiver.answers = [503]
    with pytest.raises(PublishError):
        deliver(AppriseSink("phone", receiver.url.replace("http://", "ntfy://") + "/alerts"), entry())


def test_an_address_that_apprise_does_not_know_is_refused_without_showing_it() -> None:
    with pytest.raises(
        SettingsError, match=r"notify\.phone\.url: expected an address that Apprise knows, got nonsense"
    ) as caught:
        AppriseSink("phone", "nonsense://hunter2@nowhere")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "rings"),
    [
        (lambda: entry(), True),
        (lambda: entry(severity="detection"), False),
        (lambda: entry("boundary"), True),
        (lambda: entry("answer"), False),
    ],
)
def test_only_what_is_severe_enough_rings(make: Callable[[], Entry], rings: bool) -> None:
    assert (notification(make(), 1) is not None) is rings

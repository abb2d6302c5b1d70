"""Publishers and viewers made by others: Chromium with our pages, GStreamer's webrtcbin. Killed and started again."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from programs import SYSTEM_PYTHON
from repository import SUPPORT
from stopping import stop
from waiting import until
from webrtc_fixtures import reader, serve, started
from webrtc_peers import decoded
from webrtc_server import Reader, Server

__all__ = ["reader", "serve"]

Serve = Callable[..., Server]
Read = Callable[..., Reader]
Browse = Callable[[], Any]
GST_WHIP = SUPPORT / "gst_whip.py"
FLAGS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
LONGEST_MS = 60_000


@pytest.fixture
def chromium() -> Iterator[Browse]:
    """A call gives a fresh headless Chromium with a fake camera; all are closed in the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browsers = []

        def start() -> Any:
            browsers.append(playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS)))
            page = browsers[-1].new_context().new_page()
            page.set_default_timeout(LONGEST_MS)
            return page

        yield start
        for browser in browsers:
            browser.close()


class Gst:
    """A webrtcbin publisher in a process of its own."""

    def __init__(self, url: str, *more: str) -> None:
        command = [SYSTEM_PYTHON, str(GST_WHIP), url, *more]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        stop(self.process, None)


@pytest.fixture
def webrtcbin() -> Iterator[Callable[..., Gst]]:
    yield from started(Gst)


def publishing(chromium: Browse, server: Server) -> Any:
    """A browser on our page, which was told to publish."""
    page = chromium()
    page.goto(server.url + "/publish/phone")
    page.click("#go")
    return page


def shows(page: Any, text: str) -> None:
    page.wait_for_function("text => document.getElementById('state').textContent === text", arg=text)


def test_our_page_publishes_a_browsers_camera_and_stops(serve: Serve, reader: Read, chromium: Browse) -> None:
    server = serve()
    camera = reader(server)
    page = chromium()
    page.goto(server.url + "/publish/phone")
    shows(page, "Not publishing")
    page.click("#go")
    shows(page, "Live")
    samples = camera.wait(60)
    assert samples[0].is_key
    assert (samples[0].width, samples[0].height) == (640, 360)
    assert len(decoded(samples)) == len(samples)
    until(lambda: any(each.reported_s is not None for each in list(camera.samples)))
    assert all(abs(each.reported_s - each.arrival_s) < 0.5 for each in camera.samples if each.reported_s is not None)
    page.click("#go")
    until(lambda: camera.ends == [""])
    assert page.inner_text("#state") == "Not publishing"


def test_a_browser_restarts_ice_and_pictures_go_on_over_the_new_path(serve: Serve, reader: Read, chromium: Browse) -> None:
    server = serve()
    camera = reader(server)
    page = publishing(chromium, server)
    shows(page, "Live")
    camera.wait(10)
    session = next(iter(server.sessions._publishers.values()))
    old, tag = session.peer._transport._connection, session.etag
    page.evaluate("restartIce()")
    fresh = until(lambda: (now := session.peer._transport._connection) is not old and now)
    assert session.etag != tag
    assert page.evaluate("pc.remoteDescription.sdp").count(f"a=ice-ufrag:{fresh.local_username}") == 1
    until(lambda: old._closed)
    before = len(camera.samples)
    camera.wait(before + 30)
    assert camera.num_connections == 1
    assert not any(each.breaks for each in camera.samples)
    assert page.evaluate("pc.connectionState") == "connected"


def test_a_browser_that_was_killed_comes_back(serve: Serve, reader: Read, chromium: Browse) -> None:
    server = serve(idle_timeout_s=5.0)
    camera = reader(server)
    for turn in range(2):
        before = len(camera.samples)
        page = publishing(chromium, server)
        camera.wait(before + 30)
        assert camera.samples[before].is_key
        assert camera.num_connections == turn + 1
        with contextlib.suppress(Exception):
            page.goto("chrome://crash", timeout=1000)
        until(lambda turn=turn: len(camera.ends) == turn + 1)


def test_our_page_comes_back_by_itself_when_the_service_ends_its_session(serve: Serve, reader: Read, chromium: Browse) -> None:
    server = serve()
    camera = reader(server)
    page = publishing(chromium, server)
    camera.wait(10)
    server.loop.run(next(iter(server.sessions._publishers.values())).end())
    until(lambda: camera.num_connections == 2)
    shows(page, "Live")


def test_a_browser_watches_what_another_publishes(serve: Serve, reader: Read, chromium: Browse) -> None:
    server = serve()
    camera = reader(server)
    page = publishing(chromium, server)
    camera.wait(20)
    watching = page.context.new_page()
    watching.goto(server.url + "/live/phone")
    shows(watching, "Live")
    watching.wait_for_function("() => document.getElementById('view').videoWidth === 640")
    watching.close()
    until(lambda: server.sessions.figures() == {"publishers": 1, "viewers": 0})


def test_pages_run_under_their_content_policy_and_what_is_smuggled_into_them_does_not(
    serve: Serve, reader: Read, chromium: Browse
) -> None:
    server = serve()
    reader(server)
    publisher = chromium()
    viewer = publisher.context.new_page()
    said: list[str] = []
    for page in (publisher, viewer):
        page.on("console", lambda message: message.type in ("error", "warning") and said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
    publisher.goto(server.url + "/publish/phone")
    publisher.click("#go")
    shows(publisher, "Live")
    viewer.goto(server.url + "/live/phone")
    shows(viewer, "Live")
    viewer.wait_for_function("() => document.getElementById('figures').textContent.includes('640 x 360')")
    assert publisher.evaluate("getComputedStyle(document.getElementById('name')).color") == publisher.evaluate(
        "getComputedStyle(document.querySelector('h1')).color"
    )
    assert said == []
    for page in (publisher, viewer):
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.smuggled = 1'}))"
        )
        assert page.evaluate("window.smuggled") is None
    assert [text for text in said if "Content Security Policy" in text]


def test_pages_say_why_they_are_refused(serve: Serve, chromium: Browse) -> None:
    server = serve(tokens=("secret",))
    page = publishing(chromium, server)
    page.wait_for_function("() => document.getElementById('state').textContent.includes('Bearer')")
    page.goto(server.url + "/live/phone#token=secret")
    page.wait_for_function("() => document.getElementById('state').textContent.includes('expected a live picture')")


@pytest.mark.parametrize("more", [[], ["--profile", "high", "--no-repeat"], ["--profile", "main", "--bframes", "2"]])
def test_gstreamer_publishes_any_profile_also_with_parameter_sets_in_the_offer_alone(
    serve: Serve, reader: Read, webrtcbin: Callable[..., Gst], more: list[str]
) -> None:
    server = serve()
    camera = reader(server)
    webrtcbin(server.url + "/whip/phone", *more)
    samples = camera.wait(60)
    assert len(decoded(samples)) == len(samples)
    reordered = any(after.pts < before.pts for before, after in pairwise(samples))  # type: ignore[operator]
    assert reordered == ("--bframes" in more)
    # webrtcbin 1.22 reports a time that runs at double speed: better none than a wrong one
    assert all(abs(each.reported_s - each.arrival_s) < 0.5 for each in samples if each.reported_s is not None)


def test_gstreamer_that_was_killed_comes_back(serve: Serve, reader: Read, webrtcbin: Callable[..., Gst]) -> None:
    server = serve(idle_timeout_s=3.0)
    camera = reader(server)
    first = webrtcbin(server.url + "/whip/phone")
    camera.wait(15)
    first.process.kill()
    until(lambda: len(camera.ends) == 1)
    before = len(camera.samples)
    webrtcbin(server.url + "/whip/phone")
    camera.wait(before + 15)
    assert camera.samples[before].is_key
    assert camera.num_connections == 2

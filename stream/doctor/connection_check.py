"""Why a source does not open: climbing to it step by step, until a rung breaks.

In: a URL. Out: `CheckStep`s, up to the one that broke: name, port, encryption, answer, password, path, video. A file has rungs of its own.
Blocking, every wait bounded. Never shows credentials.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from stream.codec.codecs import RTP_NAMES
from stream.doctor.description import Description, read_description
from stream.doctor.rtsp import PORTS, Answer, Conversation
from stream.errors import SourceError
from stream.sources.address import parse_address, redact

Resolve = Callable[[str, int], object]
_SDP = "application/sdp"
_TCP_PORTS = {**PORTS, "http": 80, "https": 443, "rtmp": 1935}
"""Schemes that run over TCP, and their ports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStep:
    """One step: whether it held, what was seen, what to do where it broke, and how long it took."""

    step: str
    ok: bool
    seen: str
    mend: str = ""
    ms: float = 0.0


class BrokenRungError(Exception):
    """This rung does not hold."""

    def __init__(self, seen: str, mend: str) -> None:
        super().__init__(seen)
        self.seen, self.mend = seen, mend


def climb(url: str, *, failure: str = "", timeout_s: float = 5.0, resolve: Resolve = socket.getaddrinfo) -> list[CheckStep]:
    """Rungs up to the first broken one. `failure`: why the source did not open, the last rung where all others hold. `resolve`: as
    `socket.getaddrinfo`."""
    try:
        address = parse_address(url)
    except SourceError as error:
        return [CheckStep(step="address", ok=False, seen=redact(str(error)), mend="check the address")]
    if address.kind == "listen":
        steps = _listen_steps(urlsplit(address.url))
    elif address.kind == "file":
        steps = _file_steps(address.url)
    else:
        steps = _Camera(address.url, timeout_s, resolve).steps()
    rungs: list[CheckStep] = []
    with contextlib.closing(steps):
        for step, climb_on in steps:
            began_s = time.monotonic()
            try:
                seen, mend, ok = climb_on(), "", True
            except BrokenRungError as broken:
                seen, mend, ok = broken.seen, broken.mend, False
            rungs.append(CheckStep(step=step, ok=ok, seen=redact(seen), mend=mend, ms=1000 * (time.monotonic() - began_s)))
            if not ok:
                return rungs
    if failure:
        rungs.append(CheckStep(step="pictures", ok=False, seen=redact(failure.removeprefix(f"{address.shown}: "))))
    return rungs


Steps = Generator[tuple[str, Callable[[], str]]]


def describe(url: str, timeout_s: float) -> Description | None:
    """What the camera's session description says; None where it cannot be had."""
    if urlsplit(url).scheme not in PORTS:
        return None
    camera = _Camera(url, timeout_s, socket.getaddrinfo)
    with contextlib.closing(camera.steps()) as steps, contextlib.suppress(BrokenRungError):
        for _, climb_on in steps:
            climb_on()
    return camera.description


class _Camera:
    """The way to one camera."""

    def __init__(self, url: str, timeout_s: float, resolve: Resolve) -> None:
        self.description: Description | None = None
        self._url, self._timeout_s, self._resolve = url, timeout_s, resolve
        self._parts = urlsplit(url)
        self._scheme = self._parts.scheme.lower()
        self._connection: socket.socket | None = None
        self._talk: Conversation | None = None
        self._described: Answer | None = None

    def steps(self) -> Steps:
        """Each step leans on the one before; the connection is closed at the end."""
        try:
            yield "name", self._name
            if self._scheme not in _TCP_PORTS:
                return
            yield "port", self._open
            if self._scheme in ("rtsps", "https"):
                yield "encryption", self._encrypt
            if self._scheme in PORTS:
                yield "answer", self._options
                yield "password", self._describe
                yield "path", self._path
                yield "video", self._video
        finally:
            if self._connection is not None:
                self._connection.close()

    @property
    def _host(self) -> str:
        return self._parts.hostname or ""

    @property
    def _port(self) -> int:
        try:
            return self._parts.port or _TCP_PORTS.get(self._scheme, 0)
        except ValueError:
            raise BrokenRungError("the port is no number up to 65535", "check the port in the address") from None

    def _name(self) -> str:
        """In a thread of its own: a resolver has no timeout, and may hang for a minute."""
        found: list[object] = []
        asking = threading.Thread(target=lambda: found.append(self._look_up()), daemon=True)
        asking.start()
        asking.join(self._timeout_s)
        if not found:
            raise BrokenRungError(
                f"{self._host}: no answer from the name server", "check the network, or use the camera's IP address"
            )
        if isinstance(found[0], Exception):
            raise BrokenRungError(
                f"{self._host or 'no host'}: no such name", "check the spelling, or use the camera's IP address"
            )
        return f"{self._host} is {found[0]}"

    def _look_up(self) -> str | Exception:
        try:
            answers = self._resolve(self._host, 0)
        except (OSError, UnicodeError) as error:
            return error
        assert isinstance(answers, list)
        return str(answers[0][4][0]) if self._host and answers else OSError("no address")

    def _open(self) -> str:
        host, port = self._host, self._port
        try:
            self._connection = socket.create_connection((host, port), self._timeout_s)
        except TimeoutError:
            raise BrokenRungError(
                f"port {port}: no answer within {self._timeout_s:g} s", "check the address, and firewalls; is the camera on?"
            ) from None
        except ConnectionRefusedError:
            raise BrokenRungError(
                f"port {port}: refused", "check the port (RTSP mostly 554), and that RTSP is switched on"
            ) from None
        except OSError as error:
            why = os.strerror(error.errno).lower() if error.errno else type(error).__name__
            raise BrokenRungError(f"port {port}: {why}", "check the address and the network") from None
        return f"port {port} is open"

    def _encrypt(self) -> str:
        """Whoever answers: cameras sign their certificates themselves."""
        assert self._connection is not None
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            self._connection = context.wrap_socket(self._connection, server_hostname=self._host)
        except (OSError, ValueError):
            raise BrokenRungError("no TLS spoken here", "use rtsp:// or the camera's port for TLS") from None
        return f"{self._connection.version()}"

    def _ask(self, method: str, body_type: str = "") -> Answer:
        assert self._connection is not None
        try:
            self._talk = self._talk or Conversation(self._connection, self._url)
            return self._talk.ask(method, body_type=body_type)
        except TimeoutError:
            raise BrokenRungError(
                f"{method}: no answer within {self._timeout_s:g} s", "restart the camera; is this its RTSP port?"
            ) from None
        except ValueError:
            raise BrokenRungError(
                f"{method}: something answers, but not RTSP", "check the port: 554 is RTSP, 80 the web page"
            ) from None
        except OSError:
            raise BrokenRungError(
                f"{method}: the camera closed the connection", "check the port, and how many viewers the camera allows at once"
            ) from None

    def _options(self) -> str:
        answer = self._ask("OPTIONS")
        if answer.status not in (200, 401, 404, 405, 501):
            raise BrokenRungError(f"OPTIONS: {answer.status}", "restart the camera")
        server = answer.header("server")[:60]
        return f"speaks RTSP{f', {server}' if server else ''}"

    def _describe(self) -> str:
        self._described = answer = self._ask("DESCRIBE", _SDP)
        assert self._talk is not None
        if answer.status in (401, 403):
            if self._talk.has_credentials:
                raise BrokenRungError(
                    f"{answer.status}: the user or password is refused", "check both; write special signs as %XX (@ as %40)"
                )
            raise BrokenRungError(
                f"{answer.status}: the camera wants a user and a password", "write rtsp://USER:PASSWORD@HOST/..."
            )
        return "accepted" if self._talk.has_credentials else "none needed"

    def _path(self) -> str:
        assert self._described is not None
        status, path = self._described.status, self._parts.path or "/"
        if status in (301, 302, 303, 305):
            raise BrokenRungError(f"{status}: {path} has moved", "use the address that the camera's page shows")
        if status != 200:
            why = "no such path" if status == 404 else f"{path} cannot be had"
            raise BrokenRungError(f"{status}: {why}", "look the path up in the camera's manual or page (/stream1, /live...)")
        return f"{path} is there"

    def _video(self) -> str:
        assert self._described is not None
        self.description = read_description(self._described.body)
        video, others = self.description.video, self.description.others
        if not video:
            has = f"only {', '.join(others)}" if others else "no track at all"
            raise BrokenRungError(f"no video track: {has}", "choose the video stream's path, or switch the camera's video on")
        if not RTP_NAMES.intersection(video):
            raise BrokenRungError(f"video is {', '.join(video)}", "set the camera's sub-stream to H.264, or transcode")
        return ", ".join((*video, *others))


def _listen_steps(parts: SplitResult) -> Steps:
    """We are the server: the port must be free, and somebody must come."""

    def port() -> str:
        with socket.socket(socket.AF_INET6 if ":" in (parts.hostname or "") else socket.AF_INET) as ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                ours.bind((parts.hostname or "", parts.port or PORTS["rtsp"]))
            except OSError as error:
                why = os.strerror(error.errno).lower() if error.errno else type(error).__name__
                raise BrokenRungError(
                    f"port {parts.port}: {why}", "choose another port, of an address of this machine"
                ) from None
        return f"port {parts.port} can be listened on"

    def publisher() -> str:
        raise BrokenRungError(
            "nobody came", f"let the camera push to rtsp://THIS-MACHINE:{parts.port}{parts.path}, or wait longer (--timeout-s)"
        )

    yield "port", port
    yield "publisher", publisher


def _file_steps(path: str) -> Steps:
    def exists() -> str:
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            raise BrokenRungError(os.strerror(error.errno or 2).lower(), "check the path") from None
        if stat.S_ISDIR(mode):
            raise BrokenRungError("this is a folder", "name a file in it")
        return "there"

    def readable() -> str:
        try:
            with open(path, "rb") as file:
                first = file.read(1)
        except OSError as error:
            raise BrokenRungError(os.strerror(error.errno or 13).lower(), "check who may read it") from None
        if not first:
            raise BrokenRungError("empty", "record again")
        return "can be read"

    yield "file", exists
    yield "read", readable
